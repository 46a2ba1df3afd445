# Before a removal: removes the policy. If that fails, the program stays, because nothing else could do it.

# In a chroot, what is in the kernel belongs to another system.
is_host() { [ /proc/1/root/. -ef / ]; }

# Not permitted (exit code 4) means a container that could not have put anything into the kernel.
take_out() { /usr/sbin/dockfw remove || [ $? = 4 ]; }

if [ "$1" -eq 0 ]; then
	if [ -d /run/systemd/system ]; then
		systemctl --no-reload disable dockfw.service >/dev/null 2>&1
		systemctl stop dockfw.service >/dev/null 2>&1
	fi
	if is_host; then
		take_out || exit 1
	fi
fi
exit 0
