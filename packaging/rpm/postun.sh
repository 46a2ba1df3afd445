# After a removal, only policy files that were edited are still there.
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload >/dev/null 2>&1
fi
if [ "$1" -eq 0 ]; then
	rm -rf /run/dockfw /var/lib/dockfw
	# cargo generate-rpm can't make directories part of the package.
	rmdir /etc/dockfw/conf.d /etc/dockfw /usr/lib/dockfw /usr/share/doc/dockfw/schema /usr/share/doc/dockfw/examples/hosts /usr/share/doc/dockfw/examples/recipes \
		/usr/share/doc/dockfw/examples /usr/share/doc/dockfw /usr/share/licenses/dockfw 2>/dev/null
fi
exit 0
