/* SPDX-License-Identifier: Apache-2.0
 *
 * See given.h.
 */
#include "builder/fakeroot/given.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void host_file_copy(int directory_fd, const char *from, const char *name)
{
	autoclose int in = open(from, O_RDONLY | O_CLOEXEC);
	autoclose int out = in < 0 ? -1 : openat(directory_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (in >= 0 && out >= 0)
		fdio_copy(in, out);
}

int given_make(int directory_fd, const char *path, struct err *err)
{
	static const char APT[] = "APT::Sandbox::User \"root\";\n"; /* there is no other user to become */
	if (mkdirat(directory_fd, GIVEN_NAME, 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, "cannot make a directory in '%s'", path);
	autoclose int fd = openat(directory_fd, GIVEN_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "cannot open a directory in '%s'", path);
	host_file_copy(fd, "/etc/resolv.conf", "resolv.conf");
	host_file_copy(fd, "/etc/hosts", "hosts");
	autoclose int apt = openat(fd, GIVEN_APT_CONFIG, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int r = apt < 0 ? -errno : fdio_write(apt, 0, APT, sizeof(APT) - 1);
	return r < 0 ? err_sys(err, -r, "cannot write in '%s'", path) : 0;
}
