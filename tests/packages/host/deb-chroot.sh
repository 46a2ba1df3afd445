dpkg -i "$(deb)"
write_policy 80
dockfw apply
before=$(table_handle)
mkdir /tmp/upper /tmp/work /tmp/other
mount -t overlay -o lowerdir=/,upperdir=/tmp/upper,workdir=/tmp/work none /tmp/other
mount -t proc none /tmp/other/proc
mount -t tmpfs none /tmp/other/run
chroot /tmp/other dpkg -P dockfw
[ ! -e /tmp/other/usr/sbin/dockfw ]
[ "$(table_handle)" = "$before" ] || die 'the host lost its policy'
dockfw diff
