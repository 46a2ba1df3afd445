# What the scripts have in common. Their first line that fails ends them.

TEMP=$(mktemp -d)
trap 'rm -rf "$TEMP"' EXIT

die() {
	echo "$*"
	exit 1
}

skip() {
	echo "$*"
	exit 77
}

# exits CODE COMMAND...: runs a command that must exit so.
exits() {
	wanted=$1
	shift
	code=0
	"$@" || code=$?
	[ "$code" = "$wanted" ] || die "exit code $code, not $wanted: $*"
}

# fails COMMAND...: runs a command that must fail (set -e overlooks a !).
fails() { if "$@"; then die "this should have failed: $*"; fi; }

deb() { echo "$PACKAGES"/dockfw_*_*.deb; }
rpm_file() { echo "$PACKAGES"/dockfw-[0-9]*.rpm; }

# A policy that opens this port.
write_policy() { printf '[[allow]]\nname = "web"\nports = ["%s/tcp"]\n' "$1" >/etc/dockfw/dockfw.toml; }

# Nothing of dockfw is in the kernel.
kernel_is_clean() { [ -z "$(nft list tables | grep dockfw)" ]; }

# The number that the kernel gave the table: another one after it was taken out, be it for a moment.
table_handle() { nft -a list table inet dockfw | sed -n '1s/.*# handle //p'; }

# What is on the system where packages put something, but for what the package manager writes down. Not all of it: the
# root below may be that of the machine, on which others are at work.
all_files() {
	find /etc /opt /run /srv /usr /var/lib -xdev \( -path /var/lib/dpkg -o -path /var/lib/rpm \) -prune -o -print | sort
}

# Packs the .deb again as an older version.
older_deb() {
	dpkg-deb -R "$(deb)" /tmp/older
	sed -i 's/^Version: .*/Version: 0.0.1-1/' /tmp/older/DEBIAN/control
	dpkg-deb -Zgzip -z1 -b /tmp/older /tmp/older.deb >/dev/null
	rm -r /tmp/older
	echo /tmp/older.deb
}
