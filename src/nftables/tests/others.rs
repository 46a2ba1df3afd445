//! What is read of others.

use super::*;

#[test]
#[ignore = "needs root"]
fn chains_that_iptables_could_have_are_listed() {
    in_namespace(|| {
        let others = "add table ip filter\nadd chain ip filter FILTERS\nadd chain ip filter DOCKER\nadd table ip6 raw\n\
                      add chain ip6 raw DOCKFW-RAW\nadd table inet filter\nadd chain inet filter input\n";
        nft_with(&["-f", "-"], others);
        let chains = foreign::chains_of_iptables().unwrap();
        assert_eq!(chains, ["FILTERS", "DOCKER", "DOCKFW-RAW"].map(str::to_owned).into());
    });
}
