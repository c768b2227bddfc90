#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# guard: 280 s
"""What umoci unpacks from a set of layers, as root, and what is in the image that simg build makes of it are compared, file by file:
for the sets in tests/layers.recipes, and for random ones, from a seed that is printed (SIMG_SEED sets it, SIMG_SETS how many).

umoci knows neither zstd nor Docker's media types nor GNU's sparse files: it gets the same files in a form that it can read."""

import hashlib
import os
import random
import shutil
import stat
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if "SIMG_TESTS_DIR" not in os.environ:
    os.execv(os.path.join(TOP, "tests", "run"), ["tests/run", os.path.abspath(__file__)])
sys.path.insert(0, os.path.join(TOP, "tests"))
sys.dont_write_bytecode = True
import layout  # noqa: E402
import shlex  # noqa: E402

SIMG = os.path.join(os.environ.get("SIMG_BUILD_DIR", TOP), "runtime", "simg")
SETS = int(os.environ.get("SIMG_SETS", "150"))
# What simg adds at an image's root: what the image says of itself.
OURS = {b".simg", b".singularity.d", b".exec", b".run", b".shell", b".test", b"environment", b"singularity"}
SEED = int(os.environ.get("SIMG_SEED", "1"))



def run(*command, **more):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)


# --- sets of layers ---

def recipes():
    """(sentence, lines) of each set in the file."""
    with open(os.path.join(TOP, "tests", "layers.recipes"), encoding="utf-8") as file:
        for part in file.read().split("\n== ")[1:]:
            sentence, _, text = part.partition("\n")
            yield sentence, text.splitlines()


class Random:
    """Layers of few names, so that they meet. Left out is what depends on how one extracts: a hard link that takes the place of its own
    target, and directories that hand on their group to what is made in them."""

    NAMES = ["a", "b", "c", "d"]

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.lines = []
        self.files = []  # paths that were a file at some time: targets for hard links

    def path(self):
        return "/".join(self.random.choice(self.NAMES) for _ in range(self.random.choice((1, 1, 2, 2, 3))))

    def fields(self, modes=("0644", "0600", "0755", "0711", "4755", "2750")):
        r = self.random
        out = f" mode={r.choice(modes)} uid={r.randrange(3)} gid={r.randrange(3)}"
        out += f" mtime={r.randrange(1, 2000000000)}"
        return out + (f" pax.SCHILY.xattr.user.x={r.randrange(9)}" if r.random() < 0.1 else "")

    def entry(self):
        r, path = self.random, self.path()
        kind = r.choices(("dir", "file", "random", "symlink", "hardlink", "fifo", "char", "whiteout", "opaque"),
                         (20, 28, 4, 12, 12, 2, 2, 14, 6))[0]
        targets = [file for file in self.files if file != path and not file.startswith(path + "/")]
        if kind == "hardlink" and not targets:
            kind = "file"
        if kind == "file":
            self.files.append(path)
            return f"file {path} {r.randrange(10**6)}" + self.fields()
        if kind == "random":
            self.files.append(path)
            return f"random {path} {r.randrange(200000)}" + self.fields()
        if kind == "symlink":
            up, target = r.choice(("", "", "../", "/", "../../")), self.path()
            return f"symlink {path} {up}{target}" if target[0] != path[0] else f"symlink {path} nowhere"
        if kind == "hardlink":
            return f"hardlink {path} {r.choice(targets)}"
        if kind == "char":
            return f"char {path} 1 {r.randrange(1, 9)}"
        return f"{kind} {path}" + (self.fields(("0755", "0700", "1777", "0711")) if kind == "dir" else "")

    def make(self):
        for _ in range(self.random.randrange(1, 6)):
            self.lines.append("layer " + self.random.choice(("gzip", "gzip", "plain")))
            self.lines += [self.entry() for _ in range(self.random.randrange(1, 12))]
        return self.lines


def random_sets():
    for number in range(SETS):
        seed = f"{SEED}.{number}"
        yield f"random layers, seed {seed}", Random(seed).make()


def tarball(directory, options, commands):
    """A layer by GNU tar."""
    content = os.path.join(directory, "content")
    os.mkdir(content)
    subprocess.run(["bash", "-euc", "\n".join(commands)], cwd=content, check=True)
    out = os.path.join(directory, "layer.tar")
    subprocess.run(["tar", "-c", "-f", out, "--mtime=@1000000000", *options, "-C", content, "--", *sorted(os.listdir(os.fsencode(content)))],
                   check=True)
    shutil.rmtree(content)
    return out


def for_umoci(line):
    words = line.split(" ")
    if words[0] == "docker":
        return ""
    if words[0] == "layer" and words[1:] and words[1] != "plain":
        return "layer gzip"
    return line.replace("--format=gnu --sparse", "--format=gnu")


def layout_make(directory, lines):
    """Returns the layout's path."""
    os.mkdir(directory)
    image = layout.Image(layout.Layout(os.path.join(directory, "layout")))
    commands, options = None, None
    for line in lines:
        if commands is not None:
            if line == "end":
                image.line("layer", "plain", tarball(directory, options, commands))
                commands = None
            else:
                commands.append(line)
            continue
        words = shlex.split(line, comments=True)
        if words and words[0] == "tarball":
            commands, options = [], words[1:]
        elif words:
            image.line(*words)
    image.add("t")
    return os.path.join(directory, "layout") + ":t"


# --- trees ---

def describe(path, links):
    """Everything about a file that both have to agree on."""
    st = os.lstat(path)
    out = {"mode": oct(st.st_mode), "owner": (st.st_uid, st.st_gid), "xattrs": {}}
    for name in os.listxattr(path, follow_symlinks=False):
        out["xattrs"][name] = os.getxattr(path, name, follow_symlinks=False)
    if not stat.S_ISDIR(st.st_mode):
        out["mtime"] = int(st.st_mtime)
        links.setdefault((st.st_dev, st.st_ino), []).append(path)
    if stat.S_ISREG(st.st_mode):
        with open(path, "rb") as file:
            out["content"] = hashlib.sha1(file.read()).hexdigest()
    elif stat.S_ISLNK(st.st_mode):
        out["target"] = os.readlink(path)
    elif stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
        out["device"] = (os.major(st.st_rdev), os.minor(st.st_rdev))
    return out


def tree(root):
    root, found, links = os.fsencode(root), {}, {}
    for directory, directories, files in os.walk(root):
        for name in [b"."] * (directory == root) + directories + files:
            path = os.path.join(directory, name)
            found[os.path.relpath(path, root)] = describe(path, links)
    for paths in links.values():
        names = sorted(os.path.relpath(path, root) for path in paths)
        for name in names:
            found[name]["links"] = names
    return found


def differences(theirs, ours):
    for path in sorted(set(theirs) | set(ours)):
        if path not in ours:
            yield f"{path!r} is only in umoci's tree"
        elif path not in theirs:
            yield f"{path!r} is only in the image"
        else:
            for key in theirs[path].keys() | ours[path].keys():
                if theirs[path].get(key) != ours[path].get(key):
                    yield f"{path!r}: {key} is {theirs[path].get(key)} for umoci, {ours[path].get(key)} in the image"


# --- a case ---

def compare(directory, lines):
    """Returns what is wrong, as a list of lines."""
    source = layout_make(os.path.join(directory, "ours"), lines)
    plain = [for_umoci(line) for line in lines]
    theirs = source if plain == lines else layout_make(os.path.join(directory, "theirs"), plain)
    umoci = run("umoci", "unpack", "--image", theirs, os.path.join(directory, "bundle"))
    image = os.path.join(directory, "app.simg")
    simg = run(SIMG, "build", "-q", "--no-mount-points", image, "oci:" + source,
               env=dict(os.environ, SIMG_CACHE_DIR=os.path.join(directory, "cache")))
    if simg.returncode not in (0, 1):
        return [f"simg build ended with {simg.returncode}: {simg.stdout.decode(errors='replace')}"]
    if (umoci.returncode != 0) != (simg.returncode != 0):
        return [f"umoci: {umoci.returncode} {umoci.stdout.decode(errors='replace')[-300:]}",
                f"simg: {simg.returncode} {simg.stdout.decode(errors='replace')}"]
    if simg.returncode != 0:
        return [] if simg.stdout.startswith(b"simg: error: ") and not os.path.exists(image) else [f"refused badly: {simg.stdout}"]
    root = os.path.join(directory, "root")
    unsquashfs = run("unsquashfs", "-n", "-q", "-d", root, image)
    if unsquashfs.returncode != 0:
        return [f"unsquashfs: {unsquashfs.stdout.decode(errors='replace')}"]
    ours = tree(root)
    for path in [path for path in ours if path.split(b"/")[0] in OURS]:
        del ours[path]
    return list(differences(tree(os.path.join(directory, "bundle", "rootfs")), ours))


def main():
    missing = [tool for tool in ("umoci", "unsquashfs") if shutil.which(tool) is None]
    if missing or os.geteuid() != 0:
        print(f"1..0 # SKIP {'needs ' + ' and '.join(missing) if missing else 'umoci unpacks owners and devices only as root'}")
        return
    os.umask(0o022)
    number = 0
    for sentence, lines in [*recipes(), *random_sets()]:
        number += 1
        directory = tempfile.mkdtemp(dir=os.environ["SIMG_TESTS_DIR"])
        wrong = compare(directory, lines)
        shutil.rmtree(directory, ignore_errors=True)
        if wrong:
            print("\n".join("# " + line for line in wrong + [""] + lines))
        print(f"{'not ' if wrong else ''}ok {number} - layers: {sentence}", flush=True)
    print(f"1..{number}")


main()
