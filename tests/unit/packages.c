/* SPDX-License-Identifier: Apache-2.0
 *
 * builder/packages.c and its readers: databases as they are, and as somebody made them up. Databases in SQLite are made by
 * tests/build/packages.t.
 */
#include "builder/packages.h"

#include "builder/package_rpm.h"
#include "builder/package_text.h"
#include "lib/err.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdint.h>

#define TEXT(string) string, sizeof(string) - 1

/* --- a tree of a few files --- */

struct file {
	const char *path, *text;
};

static int tree_file(const void *tree, const char *path, size_t max_bytes, char **ret_text, size_t *ret_bytes, struct err *err)
{
	for (const struct file *file = tree; file->path != NULL; file++) {
		if (strcmp(file->path, path) != 0)
			continue;
		if (strcmp(file->text, "(broken)") == 0)
			return err_set(err, EBADMSG, "the image is damaged");
		if (strcmp(file->text, "(huge)") == 0 || strlen(file->text) > max_bytes)
			return err_set(err, EFBIG, "too large");
		*ret_text = strdup(file->text);
		*ret_bytes = strlen(file->text);
		return 0;
	}
	return -ENOENT;
}

static int tree_list(const void *tree, const char *path, struct strlist *names, struct err *err)
{
	int found = -ENOENT;
	size_t bytes = strlen(path);
	(void)err;
	for (const struct file *file = tree; file->path != NULL; file++)
		if (strncmp(file->path, path, bytes) == 0 && file->path[bytes] == '/') {
			strlist_add(names, file->path + bytes + 1);
			found = 0;
		}
	return found;
}

static int read_files(const struct file *files, struct packages *packages, struct err *err)
{
	const struct packages_tree tree = { tree_file, tree_list, files };
	return packages_read(&tree, packages, err);
}

/* All of the list as one text: "manager name version architecture;…". */
static const char *list_of(const struct packages *packages)
{
	static char text[4096];
	text[0] = '\0';
	for (size_t i = 0; i < packages->count; i++) {
		const struct package *package = &packages->list[i];
		size_t used = strlen(text);
		snprintf(text + used, sizeof(text) - used, "%s%s %s %s %s", i > 0 ? ";" : "", package->manager, package->name,
			 package->version, package->architecture);
	}
	return text;
}

/* --- headers of rpm's --- */

struct header {
	uint8_t bytes[4096];
	size_t entry_count, data_bytes;
	uint8_t data[2048];
};

static void put_number(uint8_t *at, uint32_t number)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(number >> (24 - 8 * i));
}

static void add_value(struct header *header, uint32_t tag, uint32_t type, const void *value, size_t bytes)
{
	uint8_t *entry = header->bytes + 8 + 16 * header->entry_count++;
	put_number(entry, tag);
	put_number(entry + 4, type);
	put_number(entry + 8, (uint32_t)header->data_bytes);
	put_number(entry + 12, 1);
	memcpy(header->data + header->data_bytes, value, bytes);
	header->data_bytes += bytes;
}

static void add_string(struct header *header, uint32_t tag, const char *text)
{
	add_value(header, tag, 6, text, strlen(text) + 1);
}

static size_t finish(struct header *header)
{
	put_number(header->bytes, (uint32_t)header->entry_count);
	put_number(header->bytes + 4, (uint32_t)header->data_bytes);
	memcpy(header->bytes + 8 + 16 * header->entry_count, header->data, header->data_bytes);
	return 8 + 16 * header->entry_count + header->data_bytes;
}

static size_t bash(struct header *header)
{
	*header = (struct header){ 0 };
	add_string(header, 1000, "bash");
	add_string(header, 1001, "5.2");
	add_string(header, 1002, "3.fc40");
	add_value(header, 1003, 4, "\0\0\0\7", 4);
	add_string(header, 1022, "x86_64");
	return finish(header);
}

static void check_header(const char *sentence, const struct header *header, size_t bytes, int code, const char *text)
{
	struct packages packages = { 0 };
	struct err err = ERR_INIT;
	check_int(package_rpm_header(&packages, header->bytes, bytes, "db", &err), code);
	if (!check_has(code < 0 ? err.text : list_of(&packages), text))
		printf("# %s\n", sentence);
	packages_free(&packages);
}

static void test_rpm(void)
{
	struct header header;

	test_case ("a header of rpm's gives name, epoch, version, release and architecture") {
		size_t bytes = bash(&header);
		check_header("bash", &header, bytes, 0, "rpm bash 7:5.2-3.fc40 x86_64");
		header = (struct header){ 0 };
		add_string(&header, 1001, "1");
		add_string(&header, 1000, "gpg-pubkey");
		check_header("a key", &header, finish(&header), 0, "rpm gpg-pubkey 1 ");
	}

	test_case ("a header that lies about its lengths is damaged, at whatever length it is cut") {
		size_t bytes = bash(&header);
		for (size_t cut = 0; cut < bytes; cut++)
			check_header("cut", &header, cut, -EBADMSG, "'/db' is damaged: the header of a package is out of bounds");
		put_number(header.bytes, 0xffffffff);
		check_header("entries", &header, bytes, -EBADMSG, "out of bounds");
		put_number(header.bytes, 5);
		put_number(header.bytes + 4, 0xffffffff);
		check_header("data", &header, bytes, -EBADMSG, "out of bounds");
	}

	test_case ("a value outside of the data, of another type or without an end does not count or is refused") {
		size_t bytes = bash(&header);
		put_number(header.bytes + 8 + 8, 0xfffffff0);
		check_header("the name's offset", &header, bytes, -EBADMSG, "'/db' is damaged: a package without a name");
		bytes = bash(&header);
		put_number(header.bytes + 8 + 4, 7);
		check_header("the name's type", &header, bytes, -EBADMSG, "a package without a name");
		bytes = bash(&header);
		header.bytes[bytes - 1] = 'x';
		check_header("no zero", &header, bytes, -EBADMSG, "out of bounds");
		bytes = bash(&header);
		put_number(header.bytes + 8 + 3 * 16 + 8, (uint32_t)header.data_bytes - 2);
		check_header("half an epoch", &header, bytes, 0, "rpm bash 5.2-3.fc40 x86_64");
	}
}

static void test_text(void)
{
	test_case ("dpkg's status: what is installed, in any order of fields, with what goes on over lines") {
		struct packages packages = { 0 };
		struct err err = ERR_INIT;
		static const char text[] = "Package: b\nStatus: install ok installed\nVersion: 2\nArchitecture: all\n"
					   "Description: x\n Package: no\n\n"
					   "Version: 1:1.0~rc1-2\nPackage: a\nArchitecture: amd64\n"
					   "Status: hold ok triggers-pending\n\r\n"
					   "Package: gone\nStatus: deinstall ok config-files\nVersion: 3\n\n"
					   "Package: never\nStatus: unknown ok not-installed\n\n\n"
					   "Package:   last\t\nStatus: install ok installed";
		check_int(package_text_dpkg(&packages, TEXT(text), "status", &err), 0);
		check_str(list_of(&packages), "dpkg b 2 all;dpkg a 1:1.0~rc1-2 amd64;dpkg last  ");
		packages_free(&packages);
	}

	test_case ("apk's database, in which small letters are other fields") {
		struct packages packages = { 0 };
		struct err err = ERR_INIT;
		static const char text[] = "C:Q1abc=\nP:busybox\nV:1.36.1-r5\nA:x86_64\np:cmd:sh\nv:0\nF:bin\na:0:0:755\n\n"
					   "P:musl\nV:1.2.4-r2\n";
		check_int(package_text_apk(&packages, TEXT(text), "installed", &err), 0);
		check_str(list_of(&packages), "apk busybox 1.36.1-r5 x86_64;apk musl 1.2.4-r2 ");
		packages_free(&packages);
	}

	test_case ("words are printable, whatever the database has in them") {
		struct packages packages = { 0 };
		struct err err = ERR_INIT;
		check_int(package_text_apk(&packages, TEXT("P:a\033[31m\nV:\351\nA:x\0y\n\nP:\303\251\n"), "installed", &err), 0);
		check_str(list_of(&packages), "apk a?[31m ? x;apk \303\251  ");
		packages_free(&packages);
	}

	test_case ("names that are too long or none at all, and too many packages are refused") {
		struct packages packages = { 0 };
		struct err err = ERR_INIT;
		char line[PACKAGE_WORD_MAX + 16];
		snprintf(line, sizeof(line), "P:%0*d", PACKAGE_WORD_MAX, 0);
		check_int(package_text_apk(&packages, line, strlen(line), "db", &err), 0);
		snprintf(line, sizeof(line), "P:%0*d", PACKAGE_WORD_MAX + 1, 0);
		check_int(package_text_apk(&packages, line, strlen(line), "db", &err), -EBADMSG);
		check_str(err.text, "'/db' is damaged: a package's name, version or architecture is too long");
		check_int(package_text_apk(&packages, TEXT("P:\0a\n"), "db", &err), -EBADMSG);
		check_str(err.text, "'/db' is damaged: a package without a name");
		int r = 0;
		for (int i = 0; i <= PACKAGES_MAX && r == 0; i++)
			r = package_text_apk(&packages, TEXT("P:a\n"), "db", &err);
		check_int(r, -EFBIG);
		check_str(err.text, "'/db' has too many packages");
		check_int(packages.count, PACKAGES_MAX);
		packages_free(&packages);
	}
}

static void test_tree(void)
{
	test_case ("a tree's databases give one list, sorted, each package once") {
		const struct file files[] = {
			{ "var/lib/dpkg/status", "Package: z\nVersion: 1\n\nPackage: a\nVersion: 2\n\nPackage: a\nVersion: 10\n" },
			{ "var/lib/dpkg/status.d/tzdata", "Package: tzdata\nVersion: 2024a\nArchitecture: all\n" },
			{ "var/lib/dpkg/status.d/z", "Package: z\nVersion: 1\n" },
			{ "var/lib/dpkg/status.d/z.md5sums", "Package: wrong\n" },
			{ "usr/lib/apk/db/installed", "P:m\nV:1\n" },
			{ NULL, NULL },
		};
		struct packages packages;
		struct err err = ERR_INIT;
		check_int(read_files(files, &packages, &err), 0);
		check_str(list_of(&packages), "apk m 1 ;dpkg a 10 ;dpkg a 2 ;dpkg tzdata 2024a all;dpkg z 1 ");
		check_int(packages.unread.count, 0);
		packages_free(&packages);
	}

	test_case ("a tree without a database has no packages") {
		const struct file files[] = { { "etc/passwd", "" }, { "var/lib/rpm/Packages", "" }, { NULL, NULL } };
		struct packages packages;
		struct err err = ERR_INIT;
		check_int(read_files(files, &packages, &err), 0);
		check_int(packages.count, 0);
		check_int(packages.unread.count, 0);
		packages_free(&packages);
	}

	test_case ("a database that cannot be read is named with the reason, and the others are read") {
		const struct file files[] = {
			{ "var/lib/dpkg/status", "(huge)" },
			{ "lib/apk/db/installed", "P:first\n\nP:\1\n\nP:second\n" },
			{ "var/lib/rpm/Packages", "x" },
			{ NULL, NULL },
		};
		struct packages packages;
		struct err err = ERR_INIT;
		check_int(read_files(files, &packages, &err), 0);
		check_str(list_of(&packages), "apk ?  ;apk first  ;apk second  ");
		if (check_int(packages.unread.count, 2)) {
			check_str(packages.unread.items[0], "'/var/lib/dpkg/status' is too large for a list of packages");
			check_str(packages.unread.items[1],
				  "the packages in '/var/lib/rpm/Packages' are kept in Berkeley DB, which simg does not read");
		}
		packages_free(&packages);
	}

	test_case ("rpm's other formats and a database with changes beside it are named") {
		const struct file ndb[] = { { "usr/lib/sysimage/rpm/Packages.db", "x" }, { NULL, NULL } };
		const struct file wal[] = {
			{ "var/lib/rpm/rpmdb.sqlite", "x" },
			{ "var/lib/rpm/rpmdb.sqlite-wal", "x" },
			{ NULL, NULL },
		};
		struct packages packages;
		struct err err = ERR_INIT;
		check_int(read_files(ndb, &packages, &err), 0);
		check_int(packages.unread.count, 1);
		check_has(packages.unread.items[0],
			  "'/usr/lib/sysimage/rpm/Packages.db' are kept in rpm's own format ndb, which simg does not read");
		packages_free(&packages);
		check_int(read_files(wal, &packages, &err), 0);
		check_int(packages.unread.count, 1);
		check_has(packages.unread.items[0], "'/var/lib/rpm/rpmdb.sqlite' is not up to date: changes to it are in "
						    "'/var/lib/rpm/rpmdb.sqlite-wal' still");
		packages_free(&packages);
	}

	test_case ("a tree that cannot be read is a failure") {
		const struct file files[] = { { "var/lib/dpkg/status.d/x", "(broken)" }, { NULL, NULL } };
		struct packages packages;
		struct err err = ERR_INIT;
		check_int(read_files(files, &packages, &err), -EBADMSG);
		check_str(err.text, "the image is damaged");
		packages_free(&packages);
	}
}

static void test_json(void)
{
	test_case ("JSON and back gives the same list; what is no package is skipped") {
		const struct file files[] = {
			{ "var/lib/dpkg/status", "Package: b\nVersion: 1\nArchitecture: all\n\nPackage: a\n" },
			{ NULL, NULL },
		};
		struct packages packages;
		struct err err = ERR_INIT;
		check_int(read_files(files, &packages, &err), 0);
		json_t *array = packages_json(&packages);
		char *text = json_dumps(array, JSON_COMPACT);
		check_str(text, "[{\"manager\":\"dpkg\",\"name\":\"a\"},"
				"{\"manager\":\"dpkg\",\"name\":\"b\",\"version\":\"1\",\"architecture\":\"all\"}]");
		free(text);
		json_array_append_new(array, json_pack("{ss}", "name", "x"));
		json_array_append_new(array, json_pack("{ssss}", "manager", "emerge", "name", "x"));
		json_array_append_new(array, json_pack("{sssi}", "manager", "rpm", "name", 5));
		json_array_append_new(array, json_integer(1));
		check_int(packages_take_json(&packages, array, &err), 0);
		check_str(list_of(&packages), "dpkg a  ;dpkg b 1 all");
		json_decref(array);
		packages_free(&packages);
	}
}

int main(void)
{
	test_text();
	test_rpm();
	test_tree();
	test_json();
	return test_end();
}
