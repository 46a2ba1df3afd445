# In the fail-safe SSH is open, at the port where it listens. At boot nobody but the unit has made sshd's directory yet.
command -v sshd >/dev/null || skip 'no sshd here'
rm -rf /etc/dockfw /var/lib/dockfw
rpm --initdb
rpm -i --nodeps "$(rpm_file)"
ssh-keygen -A
printf 'Port 2222\n' >/etc/ssh/sshd_config
for directory in $(sed -n 's/^RuntimeDirectory=//p' /usr/lib/systemd/system/dockfw.service); do
	mkdir -p "/run/$directory"
done
exits 6 dockfw boot
nft list table inet dockfw | grep -q 'dport 2222 ' || die 'sshd can not be reached'
