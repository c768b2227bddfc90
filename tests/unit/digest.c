/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/oci/digest.h"

#include "lib/err.h"
#include "tests/tap.h"

#include <errno.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* FIPS 180-2's examples: the empty text, "abc". */
#define EMPTY_256 "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC_256 "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ABC_512                                                                                                                     \
	"sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9a" \
	"c94fa54ca49f"

static const struct {
	const char *text, *message;
} bad[] = {
	{ "", "'' is not a digest" },
	{ "sha256", "'sha256' is not a digest" },
	{ "latest", "'latest' is not a digest" },
	{ "md5:d41d8cd98f00b204e9800998ecf8427e", "'md5:d41d8cd98f00b204e9800998ecf8427e' is not a digest" },
	{ "SHA256:" EMPTY_256, "is not a digest" },
	{ "sha256:", "has 0 characters after 'sha256:', not 64" },
	{ "sha256:e3b0", "the digest 'sha256:e3b0' has 4 characters after 'sha256:', not 64" },
	{ EMPTY_256 "0", "has 65 characters after 'sha256:', not 64" },
	{ "sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "has 64 characters after 'sha512:', not 128" },
	{ "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855", "no hex digits in lower case" },
	{ "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85g", "no hex digits in lower case" },
	{ "sha256:../../../../../../../../../../../../../../../../../../../../etc/", "no hex digits in lower case" },
};

static void test_parse(void)
{
	test_case ("a digest is taken apart") {
		struct err err = ERR_INIT;
		struct digest digest = { 0 };
		check(!digest_is_set(&digest));
		check_str(digest_hex(&digest), "");
		check_int(digest_parse(EMPTY_256, strlen(EMPTY_256), &digest, &err), 0);
		check(digest_is_set(&digest));
		check_str(digest.text, EMPTY_256);
		check_str(digest_algorithm(&digest), "sha256");
		check_str(digest_hex(&digest), &EMPTY_256[7]);
		check_int(digest_parse(ABC_512, strlen(ABC_512), &digest, &err), 0);
		check_str(digest_algorithm(&digest), "sha512");
		check_str(digest_hex(&digest), &ABC_512[7]);
	}
	test_case ("a digest may be a part of a longer text") {
		struct err err = ERR_INIT;
		struct digest digest;
		check_int(digest_parse(ABC_256 "@x", strlen(ABC_256), &digest, &err), 0);
		check_str(digest.text, ABC_256);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		test_case ("'%s' is refused as a digest", bad[i].text) {
			struct err err = ERR_INIT;
			struct digest digest;
			check_int(digest_parse(bad[i].text, strlen(bad[i].text), &digest, &err), -EINVAL);
			check_has(err.text, bad[i].message);
		}
	test_case ("a zero byte does not end a digest early") {
		char text[] = EMPTY_256;
		text[40] = '\0';
		struct err err = ERR_INIT;
		struct digest digest;
		check_int(digest_parse(text, sizeof(text) - 1, &digest, &err), -EINVAL);
	}
}

static void test_equal(void)
{
	test_case ("digests are equal only if they are set and the same") {
		struct digest a = { 0 }, b = { 0 };
		check(!digest_equal(&a, &b));
		digest_of("abc", 3, &a);
		check(!digest_equal(&a, &b));
		check(!digest_equal(&b, &a));
		digest_of("abc", 3, &b);
		check(digest_equal(&a, &b));
		digest_of("abd", 3, &b);
		check(!digest_equal(&a, &b));
	}
}

static void test_hash(void)
{
	test_case ("the digest of a piece is right") {
		struct digest digest;
		digest_of("", 0, &digest);
		check_str(digest.text, EMPTY_256);
		digest_of("abc", 3, &digest);
		check_str(digest.text, ABC_256);
	}
	test_case ("a hash can be asked again and again while bytes are added") {
		struct digest digest;
		struct hash *hash = hash_new(NULL);
		hash_digest(hash, &digest);
		check_str(digest.text, EMPTY_256);
		hash_add(hash, "a", 1);
		hash_digest(hash, &digest);
		hash_add(hash, "bc", 2);
		hash_digest(hash, &digest);
		check_str(digest.text, ABC_256);
		hash_free(hash);
		hash_free(NULL);
	}
	test_case ("a hash is of the algorithm of the digest that it will be compared with") {
		struct digest like = { 0 }, digest;
		struct hash *hash = hash_new(&like);
		hash_add(hash, "abc", 3);
		hash_digest(hash, &digest);
		check_str(digest.text, ABC_256);
		hash_free(hash);
		strcpy(like.text, ABC_512);
		hash = hash_new(&like);
		hash_add(hash, "abc", 3);
		hash_digest(hash, &digest);
		check(digest_equal(&digest, &like));
		hash_free(hash);
	}
}

int main(void)
{
	test_parse();
	test_equal();
	test_hash();
	return test_end();
}
