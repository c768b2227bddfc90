# SPDX-License-Identifier: Apache-2.0
# SIMG_COMPILER_FLAGS: warnings, sanitizers and hardening. Sets
#   WARN_CFLAGS              for every object
#   SANITIZE_CFLAGS          for every object but the plugin's: slurmstepd is not an instrumented program
#   HARDEN_CFLAGS, HARDEN_LDFLAGS   for programs (PIE) and the plugin
AC_DEFUN([SIMG_COMPILER_FLAGS], [
AC_ARG_ENABLE([werror], [AS_HELP_STRING([--enable-werror], [treat compiler warnings as errors])])
AC_ARG_ENABLE([sanitizers], [AS_HELP_STRING([--enable-sanitizers], [build programs and tests with the address and undefined behaviour sanitizers])])

WARN_CFLAGS="-std=gnu11"
for flag in -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wwrite-strings -Wpointer-arith -Wvla -Wno-missing-field-initializers; do
    SIMG_TRY_FLAG([$flag], [WARN_CFLAGS="$WARN_CFLAGS $flag"])
done
AS_IF([test "x$enable_werror" = xyes], [WARN_CFLAGS="$WARN_CFLAGS -Werror"])

SANITIZE_CFLAGS=
AS_IF([test "x$enable_sanitizers" = xyes], [SANITIZE_CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -DSIMG_SANITIZED"])

# _FORTIFY_SOURCE needs an optimising compiler, and it hides errors from the sanitizers.
HARDEN_CPPFLAGS=
AS_CASE(["$CFLAGS $enable_sanitizers"], [*-O0*|*yes], [], [*-O*], [HARDEN_CPPFLAGS="-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2"])
HARDEN_CFLAGS="-fvisibility=hidden"
for flag in -fstack-protector-strong -fstack-clash-protection -fcf-protection; do
    SIMG_TRY_FLAG([$flag], [HARDEN_CFLAGS="$HARDEN_CFLAGS $flag"])
done
HARDEN_LDFLAGS="-Wl,-z,relro,-z,now"

AC_SUBST([WARN_CFLAGS])
AC_SUBST([SANITIZE_CFLAGS])
AC_SUBST([HARDEN_CPPFLAGS])
AC_SUBST([HARDEN_CFLAGS])
AC_SUBST([HARDEN_LDFLAGS])
])

# SIMG_TRY_FLAG(FLAG, IF-ACCEPTED)
AC_DEFUN([SIMG_TRY_FLAG], [
AC_MSG_CHECKING([whether $CC accepts $1])
simg_saved_cflags=$CFLAGS
CFLAGS="$CFLAGS -Werror $1"
AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])], [AC_MSG_RESULT([yes]); CFLAGS=$simg_saved_cflags; $2], [AC_MSG_RESULT([no]); CFLAGS=$simg_saved_cflags])
])
