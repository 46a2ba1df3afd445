# Runs $BOOT with a cgroup of its own, and takes that away afterwards; the lab sweeps those of this name away that are left.
mount --make-rprivate /
if ! mount -t cgroup2 none /mnt 2>/dev/null; then
	echo 'no cgroups of version 2 here'
	exit 77
fi
cgroup=/mnt/dockfw-lab-$$
mkdir "$cgroup"
code=0
(
	echo 0 >"$cgroup/cgroup.procs"
	exec timeout --signal=KILL 120 unshare --net --mount --pid --ipc --uts --cgroup --fork --kill-child sh -euc "$BOOT"
) || code=$?
cat "$SAID"
find "$cgroup" -depth -type d -exec rmdir {} +
exit "$code"
