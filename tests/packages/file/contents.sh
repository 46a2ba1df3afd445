# Owners and modes.
dpkg-deb -c "$(deb)" | grep -Ev ' (root/root|0/0) ' && die 'files that are not of root'
dpkg-deb -c "$(deb)" | grep -Ev '^(drwxr-xr-x|-rw-r--r--) |^-rwxr-xr-x .* \./usr/sbin/dockfw$' && die 'odd modes'
command -v rpm >/dev/null || skip 'no rpm here'
form='[%{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILENAMES}\n]'
rpm -qp --queryformat "$form" "$(rpm_file)" | grep -Ev '^(-rw-r--r--|drwxr-xr-x) root/root /|^-rwxr-xr-x root/root /usr/sbin/dockfw$' && die 'odd modes or owners'

# The same files in both, but for where each family has them.
of_deb() { dpkg-deb -c "$(deb)" | sed -n 's/^-.* \.\(\/.*\)/\1/p' | sed 's/vendor-completions/site-functions/'; }
only_one_has='^/usr/share/(lintian|licenses)/|/doc/dockfw/(copyright|changelog.Debian.gz)$'
of_deb | grep -Ev "$only_one_has" | sort >"$TEMP/deb"
of_rpm() { rpm -qp --queryformat "$form" "$(rpm_file)" | sed -n 's/^-.* //p'; }
of_rpm | grep -Ev "$only_one_has" | sort | diff "$TEMP/deb" -
for file in /usr/sbin/dockfw /etc/dockfw/dockfw.toml /usr/lib/systemd/system/dockfw.service \
	/usr/share/man/man8/dockfw-apply.8.gz /usr/share/man/man5/dockfw.toml.5.gz \
	/usr/share/doc/dockfw/examples/hosts/proxmox.toml /usr/share/doc/dockfw/examples/recipes/office.toml; do
	grep -qx "$file" "$TEMP/deb"
done

# Documents lead to nothing that is not there.
dpkg-deb -x "$(deb)" "$TEMP/root"
grep -o ']([^):]*)' "$TEMP"/root/usr/share/doc/dockfw/*.md | sed 's/.*](//; s/#.*//; s/)$//' | sort -u >"$TEMP/links"
[ -s "$TEMP/links" ]
while read -r link; do [ -e "$TEMP/root/usr/share/doc/dockfw/$link" ] || die "the documents lead to $link"; done <"$TEMP/links"

# Policy files survive upgrades.
dpkg-deb -I "$(deb)" conffiles | grep -qx /etc/dockfw/dockfw.toml
rpm -qp --configfiles "$(rpm_file)" | grep -qx /etc/dockfw/dockfw.toml

# What they need, and that it is no more.
dpkg-deb -f "$(deb)" Depends | grep -q 'libnftnl11 (>= 1\.'
rpm -qp --requires "$(rpm_file)" | grep -q '^libnftnl.so.11'
rpm -qp --requires "$(rpm_file)" | grep -Ev '^(/bin/sh|rpmlib\(|lib(nftnl|mnl|c|m|gcc_s)\.so\.|ld-linux|rtld\(|config\(dockfw\))' &&
	die 'unexpected requirements'
true
