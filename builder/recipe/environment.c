/* SPDX-License-Identifier: Apache-2.0
 *
 * See environment.h.
 */
#include "builder/recipe/environment.h"

#include "builder/fakeroot/given.h"
#include "builder/fakeroot/view.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const fixed[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/root",
	"USER=root",
	"LOGNAME=root",
	"APPTAINER_ENVIRONMENT=/" ENVIRONMENT_FILE,
	"SINGULARITY_ENVIRONMENT=/" ENVIRONMENT_FILE,
	"APPTAINER_LABELS=/" LABELS_FILE,
	"SINGULARITY_LABELS=/" LABELS_FILE,
	"APT_CONFIG=" VIEW_FILES "/" GIVEN_APT_CONFIG,
};

static const char *const passed[] = {
	"TERM", "http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY",
	"NO_PROXY", "SOURCE_DATE_EPOCH",
};

int environment_in_image(struct strlist *ret_environment)
{
	int r = 0;
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]) && r == 0; i++)
		r = strlist_add(ret_environment, fixed[i]);
	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]) && r == 0; i++) {
		const char *value = getenv(passed[i]);
		if (value != NULL)
			r = strlist_addf(ret_environment, "%s=%s", passed[i], value);
	}
	return r;
}

int environment_on_host(const char *root, struct strlist *ret_environment)
{
	int r = 0;
	for (char **item = environ; *item != NULL && r == 0; item++)
		if (strncmp(*item, "APPTAINER_", 10) != 0 && strncmp(*item, "SINGULARITY_", 12) != 0)
			r = strlist_add(ret_environment, *item);
	if (r == 0)
		r = strlist_addf(ret_environment, "APPTAINER_ROOTFS=%s", root);
	if (r == 0)
		r = strlist_addf(ret_environment, "SINGULARITY_ROOTFS=%s", root);
	if (r == 0)
		r = strlist_addf(ret_environment, "APPTAINER_ENVIRONMENT=%s/" ENVIRONMENT_FILE, root);
	return r < 0 ? r : strlist_addf(ret_environment, "SINGULARITY_ENVIRONMENT=%s/" ENVIRONMENT_FILE, root);
}
