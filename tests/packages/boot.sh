# Boots the system that lay.sh laid out by systemd, in a cgroup namespace of its own; $SCRIPT is a unit, and what it says is in
# $SAID. The system goes down with the script, and exits as it did.

mount -t tmpfs -o mode=755 none dev
mkdir dev/pts dev/shm
for node in null zero full random urandom tty; do
	: >"dev/$node"
	mount --bind "/dev/$node" "dev/$node"
done
mount -t devpts -o newinstance,ptmxmode=0666 none dev/pts
ln -s pts/ptmx dev/ptmx
mount -t sysfs none sys
mount -t cgroup2 none sys/fs/cgroup

# Of the machine's units, those of the boot itself. With an id there is no first boot, which would enable all others.
rm -rf etc/systemd/system/*.wants etc/fstab
tr -d - </proc/sys/kernel/random/uuid >etc/machine-id
printf '%s\n' "$SCRIPT" >etc/case
: >etc/said
mount --bind "$SAID" etc/said
cat >etc/systemd/system/case.service <<'UNIT'
[Unit]
Wants=network.target
After=network.target
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
Environment=PACKAGES=/etc/packages LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
ExecStart=/bin/sh -eu /etc/case
StandardOutput=append:/etc/said
StandardError=inherit
UNIT
mkdir etc/packages etc/systemd/system/multi-user.target.wants
mount --bind tmp/packages etc/packages
ln -s ../case.service etc/systemd/system/multi-user.target.wants/

# What the script finds when it comes to run: the unit enabled, and its policy in force.
chroot . sh -euc "$PREPARE" >>etc/said 2>&1
exec env -i PATH="$PATH" container=dockfw chroot . /lib/systemd/systemd --unit=multi-user.target --show-status=no
