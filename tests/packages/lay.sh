# Lays out a system in the current directory: a root file system with memory over it. The first process of a PID namespace of
# its own runs this: a package that runs in a chroot must be able to tell.
mount --make-rprivate /
mount -t tmpfs -o mode=755 none /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o "lowerdir=$LOWER,upperdir=/mnt/upper,workdir=/mnt/work" none /mnt/root
mount -t proc none /mnt/root/proc
mount -t tmpfs none /mnt/root/run
mount -t tmpfs none /mnt/root/tmp
mkdir /mnt/root/tmp/packages
mount --bind "$PACKAGES" /mnt/root/tmp/packages
export PACKAGES=/tmp/packages
ip link set lo up
cd /mnt/root
