command -v rpm >/dev/null || skip 'no rpm here'
rm -rf /etc/dockfw /var/lib/dockfw
rpm --initdb
# These are another package's where rpm is at home.
mkdir -p /usr/share/licenses /usr/share/zsh/site-functions
all_files >/tmp/before
rpm -i --nodeps "$(rpm_file)"
write_policy 80
dockfw apply
rpm -e dockfw
kernel_is_clean
# rpm keeps a file that was edited under another name.
[ "$(find /etc/dockfw -type f)" = /etc/dockfw/dockfw.toml.rpmsave ]
rm -r /etc/dockfw
all_files | diff /tmp/before -
