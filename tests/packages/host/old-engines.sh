# As CentOS 7 and Ubuntu 18.04: no iptables but the legacy one, and no libmnl or libnftnl that would do.
mkdir /tmp/theirs
mv /usr/lib/x86_64-linux-gnu/libmnl.so.* /usr/lib/x86_64-linux-gnu/libnftnl.so.* /usr/sbin/ipset /tmp/theirs/
printf '#!/bin/sh\nLD_LIBRARY_PATH=/tmp/theirs exec /tmp/theirs/ipset "$@"\n' >/usr/sbin/ipset
chmod 755 /usr/sbin/ipset
for family in iptables ip6tables; do update-alternatives --set "$family" "/usr/sbin/$family-legacy" >/dev/null; done
rm /usr/sbin/xtables-nft-multi
dpkg -i "$(deb)" >/dev/null
write_policy 80
for engine in nftables iptables; do
	dockfw apply --backend "$engine"
	dockfw status | grep -q "^in force ($engine)"
	dockfw diff
done
dockfw remove
