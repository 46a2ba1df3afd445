# After an installation: nothing is enabled, nothing changes. After an upgrade: what was in force is applied again,
# without a gap. If the new version refuses that, the rules of the version before stay.
upgrade=/run/dockfw/upgrade

# In a chroot, what is in the kernel belongs to another system.
is_host() { [ /proc/1/root/. -ef / ]; }

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload >/dev/null 2>&1
fi
if [ -e "$upgrade" ]; then
	rm -f "$upgrade"
	/usr/sbin/dockfw apply || echo "dockfw: not applied again; dockfw status tells what is in force" >&2
elif [ "$1" -eq 1 ]; then
	cat <<'STEPS'
dockfw is installed, and filters nothing yet. Next:
  1. dockfw status                 (what does this host expose, and to whom?)
  2. dockfw init                   (begins a policy for this host: /etc/dockfw/dockfw.toml; open in it what is to be open)
  3. dockfw check                  (is it right, and what does this host make of it?)
  4. dockfw apply --confirm 60s    (in force; rolled back unless you confirm it)
  5. systemctl enable dockfw       (in force from the next boot on)
STEPS
fi
# The unit may be enabled from before, or by the system's presets. It is not started.
is_enabled() { [ -d /run/systemd/system ] && systemctl is-enabled dockfw.service >/dev/null 2>&1; }
if is_enabled && is_host && ! /usr/sbin/dockfw status >/dev/null 2>&1; then
	cat <<'ENABLED'
dockfw.service is enabled, but the policy of /etc/dockfw is not in force before the next boot. To put it in force now:
  dockfw apply --confirm 60s
ENABLED
fi
exit 0
