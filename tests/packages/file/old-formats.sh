# dpkg 1.19 (Ubuntu 18.04) unpacks xz, and rpm 4.11 (CentOS 7) gzip; neither is sure of zstd.
ar t "$(deb)" | grep -Ev '^(debian-binary|(control|data)\.tar\.(gz|xz))$' && die 'the .deb is packed too newly'
[ "$(dpkg-deb -f "$(deb)" Depends)" = 'ipset, iptables, libc6 (>= 2.17)' ]
# Whoever upgrades the system gets the package for newer ones: it has the higher version.
current=$(echo "$PACKAGES"/../dockfw_*_*.deb)
dpkg --compare-versions "$(dpkg-deb -f "$current" Version)" gt "$(dpkg-deb -f "$(deb)" Version)"

command -v rpm >/dev/null || skip 'no rpm here'
[ "$(rpm -qp --queryformat '%{PAYLOADCOMPRESSOR}' "$(rpm_file)")" = gzip ] || die 'the .rpm is packed too newly'
rpm -qp --requires "$(rpm_file)" >"$TEMP/requires"
# What rpm 4.11 says of itself (rpm --showrc), as far as it matters here.
known='CompressedFileNames|FileDigests|PayloadFilesHavePrefix|PayloadIsXz|TildeInVersions|VersionedDependencies'
grep '^rpmlib(' "$TEMP/requires" | grep -Ev "^rpmlib\(($known)\)" && die 'rpm 4.11 does not know that'
for needed in iptables ipset 'libc.so.6(GLIBC_2.17)(64bit)'; do grep -qxF "$needed" "$TEMP/requires"; done
# The digest that it checks; later ones it passes over.
rpm -qp --queryformat '%{SHA1HEADER}' "$(rpm_file)" | grep -Eq '^[0-9a-f]{40}$' || die 'no SHA-1 of the header'

# The same as the others, and its own libraries.
rpm -qpl "$(rpm_file)" | sort >"$TEMP/old"
rpm -qpl "$PACKAGES"/../dockfw-[0-9]*.rpm | sort >"$TEMP/current"
[ -z "$(comm -13 "$TEMP/old" "$TEMP/current")" ] || die 'files are missing'
comm -23 "$TEMP/old" "$TEMP/current" >"$TEMP/more"
diff - "$TEMP/more" <<'FILES'
/usr/lib/dockfw/libmnl.so.0
/usr/lib/dockfw/libnftnl.so.11
/usr/lib/modules-load.d/dockfw.conf
/usr/share/doc/dockfw/copyright.libmnl0
/usr/share/doc/dockfw/copyright.libnftnl11
FILES
dpkg-deb -c "$(deb)" | sed -n 's|^.* \.\(/.*[^/]\)/*$|\1|p' | grep -Fxf "$TEMP/more" | sort | diff "$TEMP/more" -
