# Makes the first partition's file system in a disk image: unpack.sh TREE TAR IMAGE OFFSET SIZE FEATURES. Run by root or
# under fakeroot, so that the files belong to root.
set -eu
tree=$1 tar=$2 image=$3 offset=$4 size=$5 features=$6
tar -C "$tree" --numeric-owner -xf "$tar"
# What each machine gets for itself, and the sources that the tree was made from.
cd "$tree"
rm -f etc/hostname etc/hosts etc/machine-id etc/network/interfaces etc/apt/sources.list etc/apt/sources.list.d/*
rm -rf var/lib/apt/lists/* root/.ssh/*
cd /
mke2fs -q -F -t ext4 -O "none,$features" -U 11111111-1111-4111-8111-111111111111 -L root \
    -E "offset=$offset,lazy_itable_init=1" -d "$tree" "$image" "$size"
