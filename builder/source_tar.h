/* SPDX-License-Identifier: Apache-2.0
 *
 * The tar reader for layers: the same as for tarballs (source.h), but the bytes come from any stream, and what ends a layer is its
 * digest, which its reader compares: a missing end mark, or bytes behind it, are no error.
 */
#ifndef SIMG_BUILDER_SOURCE_TAR_H
#define SIMG_BUILDER_SOURCE_TAR_H

#include "builder/source.h"

struct stream;

/* Takes the stream, also when it fails. tap sees every decompressed byte once, in order, up to the stream's end if next() is called
 * until it returns 0; it may be NULL. The reader is used and closed through source_tarball. */
int tarball_open_layer(struct stream *stream, const char *name, void (*tap)(void *context, const void *data, size_t bytes),
		       void *tap_context, struct reader **ret_reader, struct err *err);

#endif
