said=$(dpkg -i "$(deb)" 2>&1) && die 'this should have failed'
echo "$said"
echo "$said" | grep -Eq 'depends on (libc6|libnftnl11) \(>='
