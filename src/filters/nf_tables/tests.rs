//! What is read of others.

use std::collections::BTreeSet;

use super::*;
use crate::nftables::tests::{in_namespace, nft_with};

#[test]
#[ignore = "needs root"]
fn chains_that_iptables_could_have_are_listed() {
    in_namespace(|| {
        let others = "add table ip filter\nadd chain ip filter FILTERS\nadd chain ip filter DOCKER\nadd table ip6 raw\n\
                      add chain ip6 raw DOCKFW-RAW\nadd table inet filter\nadd chain inet filter input\n";
        nft_with(&["-f", "-"], others);
        let chains = chains_of_iptables().unwrap();
        assert_eq!(chains, ["FILTERS", "DOCKER", "DOCKFW-RAW"].map(str::to_owned).into());
    });
}

#[test]
#[ignore = "needs root"]
fn chains_at_hooks_that_are_not_walked_are_listed_if_they_do_anything() {
    in_namespace(|| {
        assert_eq!(unseen().unwrap(), BTreeSet::new());
        let others = "
            table netdev guard {
                chain early { type filter hook ingress device lo priority 0; ip saddr 192.0.2.1 drop; }
                chain idle { type filter hook ingress device lo priority 1; }
            }
            table inet guard {
                chain early { type filter hook ingress device lo priority 0; drop; }
                chain input { type filter hook input priority 0; policy drop; }
            }
            table bridge filter {
                chain FORWARD { type filter hook forward priority 0; policy drop; }
                chain INPUT { type filter hook input priority 0; policy accept; }
                chain called { drop; }
            }
            table bridge asleep {
                flags dormant
                chain FORWARD { type filter hook forward priority 0; policy drop; }
            }
            ";
        nft_with(&["-f", "-"], others);
        let expected = [
            "chain FORWARD of table bridge filter",
            "chain early of table inet guard",
            "chain early of table netdev guard",
        ];
        assert_eq!(unseen().unwrap(), expected.map(str::to_owned).into());
    });
}
