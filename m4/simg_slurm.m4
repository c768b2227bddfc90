# SPDX-License-Identifier: Apache-2.0
# SIMG_SLURM: where Slurm's headers are. A SPANK plugin loads only into the Slurm that it was built against, so
# --with-slurm=PREFIX picks one where there are several. --without-slurm builds the builder alone (a laptop).
AC_DEFUN([SIMG_SLURM], [
AC_ARG_WITH([slurm], [AS_HELP_STRING([--with-slurm=PREFIX], [build the plugin against the Slurm in PREFIX; --without-slurm builds only the builder])], [], [with_slurm=check])
SLURM_CPPFLAGS=
simg_slurm_version=
AS_IF([test "x$with_slurm" != xno], [
    AS_CASE([$with_slurm], [yes|check], [], [SLURM_CPPFLAGS="-I$with_slurm/include"])
    simg_saved_cppflags=$CPPFLAGS
    CPPFLAGS="$CPPFLAGS $SLURM_CPPFLAGS"
    AC_CHECK_HEADER([slurm/spank.h], [
        AC_COMPUTE_INT([simg_slurm_number], [SLURM_VERSION_NUMBER], [#include <slurm/slurm.h>],
            [AC_MSG_ERROR([slurm/slurm.h does not tell the version of Slurm])])
        simg_slurm_version="$((simg_slurm_number >> 16)).$((simg_slurm_number >> 8 & 255)).$((simg_slurm_number & 255))"
    ], [
        AS_CASE([$with_slurm],
            [check], [AC_MSG_ERROR([slurm/spank.h was not found: install Slurm's development files (Debian: libslurm-dev slurm-wlm-basic-plugins-dev; RHEL: slurm-devel), name the prefix with --with-slurm=PREFIX, or build without the plugin with --without-slurm])],
            [AC_MSG_ERROR([slurm/spank.h was not found below '$with_slurm/include'])])
    ])
    CPPFLAGS=$simg_saved_cppflags
])
AM_CONDITIONAL([HAVE_SLURM], [test -n "$simg_slurm_version"])
AC_SUBST([SLURM_CPPFLAGS])
AC_SUBST([simg_slurm_version])
])
