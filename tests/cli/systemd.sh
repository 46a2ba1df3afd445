# shellcheck shell=sh
# `systemd STATE` stands for a systemd that has dockfw's unit, enabled or not, and notes what it is told in `/run/told`.
# Whether the unit is active is in `/run/state`. What happens at a boot is tested with a real one, in `tests/packages` and
# `vm-tests`.

systemd() {
    mkdir -p /run/systemd/system /run/bin
    echo "$1" >/run/unit
    echo active >/run/state
    cat >/run/bin/systemctl <<'FAKE'
#!/bin/sh
case $* in
'is-enabled dockfw.service') cat /run/unit; grep -qx enabled /run/unit ;;
'is-active dockfw.service') cat /run/state; grep -qx active /run/state ;;
'start dockfw.service') echo "$*" >>/run/told; "$DOCKFW" boot && echo active >/run/state ;;
'enable dockfw.service') echo "$*" >>/run/told; grep -qx disabled /run/unit && echo enabled >/run/unit ;;
'is-active ufw') test -e /run/ufw ;;
*) exit 1 ;;
esac
FAKE
    chmod +x /run/bin/systemctl
    again
}
# The same systemd, in another shell.
again() { PATH=/run/bin:$PATH; }
