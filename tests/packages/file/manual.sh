command -v man >/dev/null || skip 'no man here'
dpkg-deb -x "$(deb)" "$TEMP/root"
for page in "$TEMP"/root/usr/share/man/man*/*.gz; do
	said=$(man --warnings --encoding=utf8 -l "$page" 2>&1 >/dev/null)
	[ -z "$said" ] || die "$page: $said"
done
# What the program would write.
dockfw=$TEMP/root/usr/sbin/dockfw
gunzip -r "$TEMP/root/usr/share/man"
mkdir "$TEMP/man"
"$dockfw" man --to "$TEMP/man"
cat "$TEMP"/root/usr/share/man/man*/* >"$TEMP/packed"
cat "$TEMP"/man/*.5 "$TEMP"/man/*.8 | cmp - "$TEMP/packed"

# One for the program and one for each verb that --help names.
"$dockfw" --help | sed -n '/^Commands:/,/^Options:/s/^  \([a-z]\+\).*/\1/p' | grep -vx help >"$TEMP/verbs"
[ "$(wc -l <"$TEMP/verbs")" -ge 10 ]
while read -r verb; do
	[ -e "$TEMP/root/usr/share/man/man8/dockfw-$verb.8" ] || die "no page for $verb"
done <"$TEMP/verbs"
"$dockfw" man dockfw.toml | man -l - | grep -q data_path_port
