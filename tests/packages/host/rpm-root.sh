command -v rpm >/dev/null || skip 'no rpm here'
command -v busybox >/dev/null || skip 'no busybox here'
# An empty root, by rpm --root.
root=/tmp/empty
mkdir -p "$root/bin"
rpm --root "$root" --initdb
in_root() { rpm --root "$root" "$@"; }

# It asks for what it needs.
said=$(in_root -i "$(rpm_file)" 2>&1) && die 'this should have failed'
echo "$said"
echo "$said" | grep -Eq '(iptables|libnftnl\.so\.11.*) is needed by dockfw'

# For the scripts; there is no systemd in it.
cp "$(command -v busybox)" "$root/bin/busybox"
for applet in cat mkdir rm rmdir sh; do ln -s busybox "$root/bin/$applet"; done
# These are another package's where rpm is at home.
for directory in dev etc run var/lib var/tmp usr/sbin usr/lib/systemd/system usr/lib/tmpfiles.d usr/lib/modules-load.d \
	usr/share/bash-completion/completions usr/share/doc usr/share/fish/vendor_completions.d usr/share/licenses \
	usr/share/man/man5 usr/share/man/man8 usr/share/zsh/site-functions; do
	mkdir -p "$root/$directory"
done
mknod -m 666 "$root/dev/null" c 1 3
files() { (cd "$root" && find . -path ./var/lib/rpm -prune -o -print | sort); }
files >/tmp/before

said=$(in_root -i --nodeps "$(rpm_file)")
echo "$said"
echo "$said" | grep -q '5. systemctl enable dockfw'
# Digests, owners and modes are what the package says; and there is nothing that it does not say.
in_root -V --nodeps dockfw
files | comm -13 /tmp/before - | while read -r file; do
	[ -d "$root/$file" ] || in_root -ql dockfw | grep -qx "${file#.}" || die "of no package: $file"
done
"$root/usr/sbin/dockfw" --version
echo '# mine' >>"$root/etc/dockfw/dockfw.toml"
in_root -U --force --nodeps "$(rpm_file)"
grep -qx '# mine' "$root/etc/dockfw/dockfw.toml"

in_root -e dockfw
[ -e "$root/etc/dockfw/dockfw.toml.rpmsave" ]
rm -r "$root/etc/dockfw"
files | diff /tmp/before -
# All of it was another system's.
kernel_is_clean
