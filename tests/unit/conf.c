/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/conf.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "tests/tap.h"
#include "tests/unit/scratch.h"

#include <errno.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int load(struct conf *conf, const char *text, struct err *err)
{
	scratch_file("simg.conf", text);
	return conf_load_file(conf, "simg.conf", geteuid(), err);
}

static void test_keys(void)
{
	test_case ("an empty file leaves the defaults") {
		struct err err = ERR_INIT;
		autoconf struct conf conf = { 0 };
		check_int(load(&conf, "", &err), 0);
		check_int(conf.binds.count, 0);
		check_int(conf.protect.count, 0);
		check_int(conf.image_path.count, 0);
		check(conf.mount_home);
		check_int(conf.driver, CONF_DRIVER_KERNEL);
		check_int(conf.tmp, CONF_TMP_JOB);
		check_str(conf.tmp_size, "50%");
		check_str(conf.helper, SIMG_LIBEXECDIR "/simg-helper");
		check_int(conf.helper_timeout_s, 60);
		check(conf.cache_dir == NULL);
	}
	test_case ("every key is taken") {
		struct err err = ERR_INIT;
		autoconf struct conf conf = { 0 };
		check_int(load(&conf,
			       "# a comment\n\n  \t\n"
			       "bind = /scratch\nbind=/opt/site:/site:ro\n"
			       "  protect  =  /opt//apps/  \nprotect=/usr/local\n"
			       "image_path = /images:/more/./images/\n"
			       "mount_home = no\nmount_driver = kernel\ntmp = private\ntmp_size = 4g\n"
			       "helper = /usr//libexec/simg-helper\nhelper_timeout = 3600\r\n"
			       "cache_dir = /scratch//cache/\n",
			       &err),
			  0);
		check_str(err.text, "");
		check_int(conf.binds.count, 2);
		check_str(conf.binds.items[0].source, "/scratch");
		check_str(conf.binds.items[0].origin, "simg.conf:4");
		check_str(conf.binds.items[1].target, "/site");
		check_str(conf.binds.items[1].origin, "simg.conf:5");
		check(conf.binds.items[1].read_only);
		check_int(conf.protect.count, 2);
		check_str(conf.protect.items[0], "/opt/apps");
		check_int(conf.image_path.count, 2);
		check_str(conf.image_path.items[1], "/more/images");
		check(!conf.mount_home);
		check_int(conf.tmp, CONF_TMP_PRIVATE);
		check_str(conf.tmp_size, "4g");
		check_str(conf.cache_dir, "/scratch/cache");
		check_str(conf.helper, "/usr/libexec/simg-helper");
		check_int(conf.helper_timeout_s, 3600);
	}
	test_case ("a later line wins, and image_path does not add up") {
		struct err err = ERR_INIT;
		autoconf struct conf conf = { 0 };
		check_int(load(&conf, "tmp_size=1g\nimage_path=/a:/b\ntmp_size=2g\nimage_path=/c", &err), 0);
		check_str(conf.tmp_size, "2g");
		check_int(conf.image_path.count, 1);
		check_str(conf.image_path.items[0], "/c");
	}
	test_case ("a value can hold spaces, '=', ',' and '#'") {
		struct err err = ERR_INIT;
		autoconf struct conf conf = { 0 };
		check_int(load(&conf, "bind = /a b=c,d#e:/f\n", &err), 0);
		check_str(conf.binds.items[0].source, "/a b=c,d#e");
	}

	static const char *const sizes[] = { "1", "512k", "512K", "4m", "4M", "4g", "4G", "50%", "123456789012345678" };
	for (size_t i = 0; i < COUNT(sizes); i++)
		test_case ("tmp_size = %s is taken", sizes[i]) {
			struct err err = ERR_INIT;
			autoconf struct conf conf = { 0 };
			char text[64];
			snprintf(text, sizeof(text), "tmp_size = %s\n", sizes[i]);
			check_int(load(&conf, text, &err), 0);
			check_str(conf.tmp_size, sizes[i]);
		}
}

static void test_bad_lines(void)
{
	static const struct {
		const char *line, *message, *hint;
	} bad[] = {
		{ "mount_hom = yes", "simg.conf:2: unknown key 'mount_hom'", "simg.conf(5) lists the keys" },
		{ "Bind = /a", "simg.conf:2: unknown key 'Bind'", "simg.conf(5) lists the keys" },
		{ "= yes", "simg.conf:2: unknown key ''", "simg.conf(5) lists the keys" },
		{ "conf = /etc/other", "simg.conf:2: unknown key 'conf'", "simg.conf(5) lists the keys" },
		{ "mount_home yes", "simg.conf:2: 'mount_home yes' is not of the form key = value", "simg.conf(5) has examples" },
		{ "mount_home =", "simg.conf:2: mount_home: no value", "" },
		{ "mount_home = true", "simg.conf:2: mount_home: bad value 'true': expected yes or no", "" },
		{ "mount_home = Yes", "simg.conf:2: mount_home: bad value 'Yes': expected yes or no", "" },
		{ "mount_driver = fuse", "simg.conf:2: mount_driver: bad value 'fuse': expected kernel", "" },
		{ "tmp = /tmp", "simg.conf:2: tmp: bad value '/tmp': expected job or private", "" },
		{ "tmp_size = big", "simg.conf:2: tmp_size: bad value 'big': expected a size such as 512m, 4g or 50%", "" },
		{ "tmp_size = 4gb", "simg.conf:2: tmp_size: bad value '4gb': expected a size", "" },
		{ "tmp_size = 4t", "simg.conf:2: tmp_size: bad value '4t': expected a size", "" },
		{ "tmp_size = -1", "simg.conf:2: tmp_size: bad value '-1': expected a size", "" },
		{ "tmp_size = 1g,uid=0", "simg.conf:2: tmp_size: bad value '1g,uid=0': expected a size", "" },
		{ "tmp_size = 1234567890123456789", "simg.conf:2: tmp_size: bad value '1234567890123456789'", "" },
		{ "helper = simg-helper", "simg.conf:2: helper: path 'simg-helper' is not an absolute path", "" },
		{ "helper = /usr/../helper", "simg.conf:2: helper: path '/usr/../helper' contains '..'", "" },
		{ "helper_timeout = 0", "simg.conf:2: helper_timeout: bad value '0': expected seconds from 1 to 3600", "" },
		{ "helper_timeout = 3601", "simg.conf:2: helper_timeout: bad value '3601': expected seconds from 1 to 3600", "" },
		{ "helper_timeout = -5", "simg.conf:2: helper_timeout: bad value '-5'", "" },
		{ "helper_timeout = +5", "simg.conf:2: helper_timeout: bad value '+5'", "" },
		{ "helper_timeout = 5s", "simg.conf:2: helper_timeout: bad value '5s'", "" },
		{ "helper_timeout = 99999999999999999999", "simg.conf:2: helper_timeout: bad value '99999999999999999999'", "" },
		{ "protect = opt", "simg.conf:2: protect: path 'opt' is not an absolute path", "" },
		{ "protect = /a/..", "simg.conf:2: protect: path '/a/..' contains '..'", "" },
		{ "image_path = /a:b", "simg.conf:2: image_path: directory 'b' is not an absolute path", "" },
		{ "cache_dir = cache", "simg.conf:2: cache_dir: directory 'cache' is not an absolute path", "" },
		{ "cache_dir = /a/../b", "simg.conf:2: cache_dir: directory '/a/../b' contains '..'", "" },
		{ "image_path = /a::/b", "simg.conf:2: image_path: directory '' is not an absolute path", "" },
		{ "bind = scratch:/scratch", "simg.conf:2: bind: bad value 'scratch:/scratch': expected an absolute source", "" },
		{ "bind = /a:/../b", "simg.conf:2: bind: bind target '/../b' contains '..'", "" },
		{ "bind = /a:/b:rx", "simg.conf:2: bind: bind '/a:/b:rx' has the unknown mode 'rx'", "write SRC:DST" },
	};
	for (size_t i = 0; i < COUNT(bad); i++)
		test_case ("'%s' is refused", bad[i].line) {
			struct err err = ERR_INIT;
			struct conf conf;
			char text[256];
			snprintf(text, sizeof(text), "# first\n%s\nmount_home = yes\n", bad[i].line);
			check_int(load(&conf, text, &err), -EINVAL);
			check_has(err.text, bad[i].message);
			check_has(err.hint, bad[i].hint);
			check(conf.helper == NULL && conf.tmp_size == NULL && conf.binds.items == NULL);
		}

	test_case ("513 binds are refused") {
		struct err err = ERR_INIT;
		struct conf conf;
		autofree char *text = calloc(1, 10000);
		for (int i = 0; i < 513; i++)
			strcat(text, "bind=/a\n");
		check_int(load(&conf, text, &err), -E2BIG);
		check_str(err.text, "simg.conf:513: bind: more than 512 bind mounts");
	}
}

static void test_files(void)
{
	static char line[70000];
	test_case ("a long line is taken, one of more than 65536 bytes is refused") {
		struct err err = ERR_INIT;
		struct conf conf;
		memset(line, 'x', sizeof(line));
		line[0] = '#';
		line[65000] = '\0';
		check_int(load(&conf, line, &err), 0);
		conf_free(&conf);
		line[65000] = 'x';
		line[65537] = '\0';
		check_int(load(&conf, line, &err), -E2BIG);
		check_str(err.text, "simg.conf:1: line of more than 65536 bytes");
	}
	test_case ("a missing file is an error where it is named") {
		struct err err = ERR_INIT;
		struct conf conf;
		check_int(conf_load_file(&conf, "none.conf", geteuid(), &err), -ENOENT);
		check_str(err.text, "cannot open 'none.conf': No such file or directory");
		check(conf.helper == NULL);
	}
	static const struct {
		mode_t mode;
		const char *who;
	} modes[] = { { 0664, "its group" }, { 0646, "everybody" }, { 0666, "its group and everybody" } };
	for (size_t i = 0; i < COUNT(modes); i++)
		test_case ("a file that %s may write is refused", modes[i].who) {
			struct err err = ERR_INIT;
			struct conf conf;
			char message[200];
			scratch_file("simg.conf", "");
			chmod("simg.conf", modes[i].mode);
			check_int(conf_load_file(&conf, "simg.conf", geteuid(), &err), -EPERM);
			snprintf(message, sizeof(message), "'simg.conf' could be written by others than root (owner %u, mode %03o)", geteuid(),
				 modes[i].mode);
			check_str(err.text, message);
			check_str(err.hint, "chown root 'simg.conf' && chmod 644 'simg.conf'");
			chmod("simg.conf", 0644);
		}
	test_case ("somebody else's file is refused") {
		struct err err = ERR_INIT;
		struct conf conf;
		scratch_file("simg.conf", "");
		check_int(conf_load_file(&conf, "simg.conf", geteuid() + 1, &err), -EPERM);
		check_has(err.text, "'simg.conf' could be written by others than root");
	}
	test_case ("a directory is refused") {
		struct err err = ERR_INIT;
		struct conf conf;
		check_int(conf_load_file(&conf, ".", geteuid(), &err), -EINVAL);
		check_str(err.text, "'.' is not a regular file");
	}
	test_case ("a FIFO is refused and not waited for") {
		struct err err = ERR_INIT;
		struct conf conf;
		mkfifo("fifo", 0644);
		check_int(conf_load_file(&conf, "fifo", geteuid(), &err), -EINVAL);
		check_str(err.text, "'fifo' is not a regular file");
	}
}

static void test_args(void)
{
	char wanted[PATH_MAX];
	snprintf(wanted, sizeof(wanted), "conf=%s/simg.conf", scratch.path);
	test_case ("without arguments and without the default file, the defaults hold and no error is left") {
		if (access(SIMG_SYSCONFDIR "/simg.conf", F_OK) == 0)
			test_skip("there is a " SIMG_SYSCONFDIR "/simg.conf");
		struct err err = ERR_INIT;
		autoconf struct conf conf = { 0 };
		check_int(conf_load(&conf, 0, NULL, &err), 0);
		check_int(err.code, 0);
		check_str(err.text, "");
		check_str(conf.tmp_size, "50%");
	}
	test_case ("a file that an argument names must exist") {
		struct err err = ERR_INIT;
		struct conf conf;
		char *args[] = { (char *)"conf=/nowhere/simg.conf" };
		check_int(conf_load(&conf, 1, args, &err), -ENOENT);
		check_str(err.text, "cannot open '/nowhere/simg.conf': No such file or directory");
	}
	test_case ("arguments win over the file, and binds and protected paths add up") {
		if (geteuid() != 0)
			test_skip("the file would have to belong to root");
		struct err err = ERR_INIT;
		autoconf struct conf conf = { 0 };
		scratch_file("simg.conf", "bind=/a\nprotect=/p\ntmp_size=1g\nmount_home=no\nimage_path=/i:/j\n");
		char *args[] = { (char *)"tmp_size=2g", wanted, (char *)"bind=/b:/c:ro", (char *)"protect=/q", (char *)"image_path=/k" };
		check_int(conf_load(&conf, COUNT(args), args, &err), 0);
		check_str(conf.tmp_size, "2g");
		check(!conf.mount_home);
		check_int(conf.binds.count, 2);
		check_str(conf.binds.items[1].target, "/c");
		check_str(conf.binds.items[1].origin, "plugstack.conf");
		check_int(conf.protect.count, 2);
		check_int(conf.image_path.count, 1);
		check_str(conf.image_path.items[0], "/k");
	}
	static const struct {
		const char *arg, *message;
	} bad[] = {
		{ "verbose", "plugstack.conf: 'verbose' is not of the form key = value" },
		{ "verbose=1", "plugstack.conf: unknown key 'verbose'" },
		{ "cache_dir=/c", "plugstack.conf: cache_dir: only simg.conf can say it: simg build does not read plugstack.conf" },
		{ "tmp=here", "plugstack.conf: tmp: bad value 'here': expected job or private" },
		{ "bind=a:/b", "plugstack.conf: bind: bad value 'a:/b': expected an absolute source" },
	};
	for (size_t i = 0; i < COUNT(bad); i++)
		test_case ("the argument '%s' is refused", bad[i].arg) {
			if (access(SIMG_SYSCONFDIR "/simg.conf", F_OK) == 0)
				test_skip("there is a " SIMG_SYSCONFDIR "/simg.conf");
			struct err err = ERR_INIT;
			struct conf conf;
			char *args[] = { (char *)bad[i].arg };
			check_int(conf_load(&conf, 1, args, &err), -EINVAL);
			check_str(err.text, bad[i].message);
			check(conf.helper == NULL);
		}
}

int main(void)
{
	scratch_enter();
	test_keys();
	test_bad_lines();
	test_files();
	test_args();
	return test_end();
}
