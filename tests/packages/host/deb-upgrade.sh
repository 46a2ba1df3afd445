dpkg -i "$(older_deb)"
write_policy 80
dockfw apply
before=$(table_handle)
said=$(dpkg -i "$(deb)")
echo "$said"
echo "$said" | grep -q 'in force'
[ "$(table_handle)" = "$before" ] || die 'the table was taken out for a moment'
dockfw diff
dpkg-query -W -f '${Version}\n' dockfw | grep -vx 0.0.1-1
grep -q '80/tcp' /etc/dockfw/dockfw.toml || die 'the policy was replaced'

# What is not in force yet is not put in force by an upgrade.
write_policy 81
dpkg -i "$(deb)"
exits 7 dockfw diff
nft list table inet dockfw | grep -q 80

# What waits to be confirmed still waits afterwards, and is taken back where nobody does.
dockfw apply
write_policy 82
dockfw apply --confirm 10s --detach
dpkg -i "$(deb)"
dockfw status | grep 'on trial'
deadline=$(($(date +%s) + 60))
until nft list table inet dockfw | grep -q 'dport 81'; do
	[ "$(date +%s)" -lt $deadline ] || die 'an upgrade confirmed a policy that was on trial'
done
