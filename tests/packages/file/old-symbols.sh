# CentOS 7 has glibc 2.17.
command -v objdump >/dev/null || skip 'no objdump here'
dpkg-deb -x "$(deb)" "$TEMP/root"
for file in usr/sbin/dockfw usr/lib/dockfw/libmnl.so.0 usr/lib/dockfw/libnftnl.so.11; do
	objdump -T "$TEMP/root/$file" | grep -o 'GLIBC_[0-9.]*' | sort -uV >"$TEMP/symbols"
	[ -s "$TEMP/symbols" ] || die "$file has no symbols of glibc"
	[ "$( (cat "$TEMP/symbols" && echo GLIBC_2.17) | sort -V | tail -n 1)" = GLIBC_2.17 ] ||
		die "$file needs $(tail -n 1 "$TEMP/symbols")"
done
# It finds its own libraries, and asks for no others than those of glibc.
objdump -p "$TEMP/root/usr/sbin/dockfw" >"$TEMP/head"
grep -Eq '^ *(RUNPATH|RPATH) +/usr/lib/dockfw$' "$TEMP/head"
for library in libmnl.so.0 libnftnl.so.11; do grep -q "NEEDED *$library" "$TEMP/head"; done
sed -n 's/^ *NEEDED *//p' "$TEMP/head" | grep -Ev '^(libmnl.so.0|libnftnl.so.11|lib(c|m|dl|rt|pthread)\.so\.[0-9]|ld-linux.*)$' &&
	die 'unexpected libraries'
true
