#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes small OCI layouts for tests, also ones that no builder would make.

usage: layout.py image LAYOUT TAG <RECIPE        add an image; prints the digest of its manifest
       layout.py index LAYOUT TAG PLATFORM=REF…  add an index of images; PLATFORM is os/architecture[/variant], or - for none
       layout.py put LAYOUT TAG [MEDIA-TYPE]     add standard input as a manifest or an index; prints its digest
       layout.py blob LAYOUT                     add standard input as a blob; prints its digest
       layout.py cat LAYOUT REF                  print a manifest, an index or a blob
       layout.py digest LAYOUT TAG               print the digest of a tag

LAYOUT is a directory, made if need be. REF is a tag or a digest. A second image of the same tag takes it over. MEDIA-TYPE is the
document's own "mediaType" if not given. With "cat | jq … | put", any document can be bent as a test needs it.

A recipe is lines of words, quoted as for a shell, with \\n and \\xHH in TEXT:

    layer [PACKING] [TARBALL]    the next layer, from a tarball or from the entries that follow. PACKING: gzip (default), zstd,
                                 plain, gzip-members, zstd-frames (several, one of them to be skipped), xz
    dir PATH                     an entry, with FIELD=VALUE behind it: mode uid gid mtime (octal mode), and
    file PATH [TEXT]             pax.KEY=VALUE for a pax record, as in pax.SCHILY.xattr.user.colour=red
    random PATH BYTES            a file that does not compress, the same each time
    symlink PATH TARGET
    hardlink PATH TARGET
    fifo PATH
    char PATH MAJOR MINOR        block likewise
    whiteout PATH                removes PATH of the layers below
    opaque DIR                   hides what the layers below have in DIR
    blob MEDIA-TYPE FILE [DIFF-ID]   a layer as it is; without DIFF-ID, that of the file
    repeat N                     layer N (1 is the first) once more
    docker                       Docker's media types instead of OCI's
    platform OS/ARCH[/VARIANT]   linux/amd64 if not given
    config JSON                  merged into the image configuration
    manifest JSON                merged into the manifest
"""

import gzip
import hashlib
import io
import json
import lzma
import os
import random
import shlex
import subprocess
import sys
import tarfile

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
MEDIA_TYPES = {
    "oci": {"manifest": OCI + "manifest.v1+json", "index": OCI + "index.v1+json", "config": OCI + "config.v1+json",
            "plain": OCI + "layer.v1.tar", "gzip": OCI + "layer.v1.tar+gzip", "zstd": OCI + "layer.v1.tar+zstd",
            "xz": OCI + "layer.v1.tar+xz"},
    "docker": {"manifest": DOCKER + "distribution.manifest.v2+json", "index": DOCKER + "distribution.manifest.list.v2+json",
               "config": DOCKER + "container.image.v1+json", "plain": DOCKER + "image.rootfs.diff.tar",
               "gzip": DOCKER + "image.rootfs.diff.tar.gzip", "zstd": DOCKER + "image.rootfs.diff.tar.zstd",
               "xz": DOCKER + "image.rootfs.diff.tar.xz"},
}
REF_NAME = "org.opencontainers.image.ref.name"
EPOCH = 1000000000


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def json_bytes(value):
    return json.dumps(value, separators=(",", ":")).encode()


def merge(into, other):
    """Merges dictionaries member by member; anything else is replaced."""
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


class Layout:
    """The directory: blobs by digest, and tags in index.json."""

    def __init__(self, directory):
        self.directory = directory
        self.index_file = os.path.join(directory, "index.json")
        os.makedirs(os.path.join(directory, "blobs", "sha256"), exist_ok=True)
        if not os.path.exists(self.index_file):
            self.write("oci-layout", json_bytes({"imageLayoutVersion": "1.0.0"}))
            self.write("index.json", json_bytes({"schemaVersion": 2, "manifests": []}))
        with open(self.index_file, "rb") as file:
            self.index = json.load(file)

    def write(self, name, data):
        with open(os.path.join(self.directory, name), "wb") as file:
            file.write(data)

    def add_blob(self, data):
        digest = digest_of(data)
        self.write("blobs/" + digest.replace(":", "/"), data)
        return digest

    def descriptor(self, data, media_type):
        return {"mediaType": media_type, "digest": self.add_blob(data), "size": len(data)}

    def tag(self, name, descriptor):
        others = [d for d in self.index["manifests"] if d.get("annotations", {}).get(REF_NAME) != name]
        self.index["manifests"] = others + [dict(descriptor, annotations={REF_NAME: name})]
        self.write("index.json", json_bytes(self.index))

    def find(self, ref):
        """The descriptor of a tag. A digest has none: then only its digest is known."""
        for descriptor in self.index["manifests"]:
            if descriptor.get("annotations", {}).get(REF_NAME) == ref:
                return descriptor
        if ":" not in ref:
            sys.exit(f"layout.py: error: there is no tag '{ref}' in '{self.directory}'")
        return {"digest": ref}

    def read(self, ref):
        with open(os.path.join(self.directory, "blobs", self.find(ref)["digest"].replace(":", "/")), "rb") as file:
            return file.read()


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout


def halves(data):
    return data[: len(data) // 2], data[len(data) // 2 :]


def pack(packing, data):
    """The bytes of a layer, and the packing that its media type names."""
    if packing == "plain":
        return data, "plain"
    if packing == "gzip":
        return gzip.compress(data, mtime=0), "gzip"
    if packing == "gzip-members":
        return b"".join(gzip.compress(half, mtime=0) for half in halves(data)), "gzip"
    if packing == "zstd":
        return zstd(data), "zstd"
    if packing == "zstd-frames":
        skipped = bytes.fromhex("502a4d18") + (7).to_bytes(4, "little") + b"nothing"
        first, second = halves(data)
        return zstd(first) + skipped + zstd(second), "zstd"
    if packing == "xz":
        return lzma.compress(data), "xz"
    sys.exit(f"layout.py: error: there is no packing '{packing}'")


class Layer:
    """A tarball that grows entry by entry."""

    TYPES = {"dir": tarfile.DIRTYPE, "file": tarfile.REGTYPE, "random": tarfile.REGTYPE, "whiteout": tarfile.REGTYPE,
             "opaque": tarfile.REGTYPE, "symlink": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE, "fifo": tarfile.FIFOTYPE,
             "char": tarfile.CHRTYPE, "block": tarfile.BLKTYPE}

    def __init__(self, packing="gzip", tarball=None):
        self.packing, self.tarball = packing, tarball
        self.file = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.file, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, kind, path, *words):
        fields = dict(word.split("=", 1) for word in words if self.is_field(word))
        values = [word for word in words if not self.is_field(word)]
        info = tarfile.TarInfo(self.path(kind, path))
        info.type = self.TYPES[kind]
        info.mode = int(fields.pop("mode", "0755" if kind == "dir" else "0644"), 8)
        info.uid, info.gid = int(fields.pop("uid", 0)), int(fields.pop("gid", 0))
        info.mtime = float(fields.pop("mtime", EPOCH))
        info.pax_headers = {key[4:]: value for key, value in fields.items()}
        data = self.content(kind, path, values)
        if kind in ("symlink", "hardlink"):
            info.linkname = values[0]
        elif kind in ("char", "block"):
            info.devmajor, info.devminor = int(values[0]), int(values[1])
        info.size = len(data)
        self.tar.addfile(info, io.BytesIO(data))

    @staticmethod
    def is_field(word):
        key, equals, _ = word.partition("=")
        return bool(equals) and (key in ("mode", "uid", "gid", "mtime") or key.startswith("pax."))

    @staticmethod
    def path(kind, path):
        if kind == "whiteout":
            return os.path.join(os.path.dirname(path), ".wh." + os.path.basename(path))
        return os.path.join(path, ".wh..wh..opq") if kind == "opaque" else path

    @staticmethod
    def content(kind, path, values):
        if kind == "file" and values:
            return values[0].encode().decode("unicode_escape").encode("latin-1")
        return random.Random(path).randbytes(int(values[0])) if kind == "random" else b""

    def bytes(self):
        if self.tarball:
            with open(self.tarball, "rb") as file:
                return file.read()
        self.tar.close()
        return self.file.getvalue()


class Image:
    """What a recipe says."""

    def __init__(self, layout):
        self.layout = layout
        self.types = MEDIA_TYPES["oci"]
        self.platform = "linux/amd64"
        self.layers = []  # Layer, or (descriptor, diff_id)
        self.more_config, self.more_manifest = {}, {}

    def line(self, verb, *words):
        if verb == "layer":
            packing = words[0] if words else "gzip"
            self.layers.append(Layer(packing, *words[1:]))
        elif verb == "blob":
            self.add_file(*words)
        elif verb == "repeat":
            self.layers.append(self.layers[int(words[0]) - 1])
        elif verb == "docker":
            self.types = MEDIA_TYPES["docker"]
        elif verb == "platform":
            self.platform = words[0]
        elif verb == "config":
            merge(self.more_config, json.loads(words[0]))
        elif verb == "manifest":
            merge(self.more_manifest, json.loads(words[0]))
        elif verb in Layer.TYPES:
            self.layers[-1].add(verb, *words)
        else:
            sys.exit(f"layout.py: error: a recipe has no '{verb}'")

    def add_file(self, media_type, path, diff_id=None):
        with open(path, "rb") as file:
            data = file.read()
        self.layers.append((self.layout.descriptor(data, media_type), diff_id or digest_of(data)))

    def packed_layer(self, layer):
        """Descriptor and diff_id."""
        if isinstance(layer, tuple):
            return layer
        data = layer.bytes()
        packed, packing = pack(layer.packing, data)
        return self.layout.descriptor(packed, self.types[packing]), digest_of(data)

    def add(self, tag):
        packed = {id(layer): self.packed_layer(layer) for layer in self.layers}
        layers = [packed[id(layer)] for layer in self.layers]
        config = dict(platform_members(self.platform), config={}, rootfs={"type": "layers", "diff_ids": [d for _, d in layers]})
        merge(config, self.more_config)
        manifest = {"schemaVersion": 2, "mediaType": self.types["manifest"],
                    "config": self.layout.descriptor(json_bytes(config), self.types["config"]), "layers": [d for d, _ in layers]}
        merge(manifest, self.more_manifest)
        descriptor = self.layout.descriptor(json_bytes(manifest), self.types["manifest"])
        self.layout.tag(tag, descriptor)
        return descriptor["digest"]


def platform_members(platform):
    return dict(zip(("os", "architecture", "variant"), platform.split("/")))


def image(layout, tag):
    """Entry by entry, so that a layer's lines need not be indented."""
    made = Image(layout)
    for line in sys.stdin:
        words = shlex.split(line, comments=True)
        if words:
            made.line(*words)
    print(made.add(tag))


def index(layout, tag, *entries):
    manifests = []
    for entry in entries:
        platform, ref = entry.split("=", 1)
        data = layout.read(ref)
        descriptor = layout.descriptor(data, json.loads(data)["mediaType"])
        manifests.append(descriptor if platform == "-" else dict(descriptor, platform=platform_members(platform)))
    docker = all(manifest["mediaType"].startswith(DOCKER) for manifest in manifests)
    media_type = MEDIA_TYPES["docker" if docker else "oci"]["index"]
    descriptor = layout.descriptor(json_bytes({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}), media_type)
    layout.tag(tag, descriptor)
    print(descriptor["digest"])


def put(layout, tag, media_type=None):
    data = sys.stdin.buffer.read()
    descriptor = layout.descriptor(data, media_type or json.loads(data)["mediaType"])
    layout.tag(tag, descriptor)
    print(descriptor["digest"])


COMMANDS = {
    "image": image,
    "index": index,
    "put": put,
    "blob": lambda layout: print(layout.add_blob(sys.stdin.buffer.read())),
    "cat": lambda layout, ref: sys.stdout.buffer.write(layout.read(ref)),
    "digest": lambda layout, ref: print(layout.find(ref)["digest"]),
}

if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    COMMANDS[sys.argv[1]](Layout(sys.argv[2]), *sys.argv[3:])
