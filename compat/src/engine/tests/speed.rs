//! How long loading takes, compared with `ipset restore` of the same networks.

use std::time::{Duration, Instant};

use dockfw_policy::address::AddressRange;
use dockfw_policy::ruleset::{AddressList, SetName};

use super::*;

const NETWORKS: u32 = 65_536;
/// How many times as long as `ipset restore` an apply may take.
const MAX_RATIO: f64 = 1.3;

fn best_of_five(mut work: impl FnMut() -> Duration) -> Duration {
    (0..5).map(|_| work()).min().unwrap_or_default()
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Trusts as many networks of 512 addresses.
fn many() -> Ruleset {
    let mut ruleset = ruleset("trusted = [\"192.0.2.10\"]");
    let networks = (0..NETWORKS).map(|n| format!("{}/23", std::net::Ipv4Addr::from(0x0b00_0000 + n * 1024)));
    let addresses = networks.map(|network| network.parse::<AddressRange>().unwrap()).collect();
    let name = SetName::new("trusted").unwrap();
    ruleset.addresses = vec![AddressList { name, comment: "trusted".into(), addresses }];
    ruleset
}

#[test]
#[ignore = "means something only with optimisation, on a machine that does nothing else"]
fn loading_takes_little_longer_than_ipset_restore() {
    on_both(|bench| {
        let ruleset = many();
        let file = lowered(&ruleset).unwrap().sets.iter().fold(String::new(), |mut text, set| {
            text::fill(&mut text, set, text::Finish::Rename);
            text
        });
        let restore = best_of_five(|| {
            let time = timed(|| bench.host.restore_sets(&file).unwrap());
            remove(&bench.host).unwrap();
            time
        });
        let apply = best_of_five(|| {
            let time = timed(|| drop(bench.apply(&lowered(&ruleset).unwrap())));
            remove(&bench.host).unwrap();
            time
        });
        bench.apply(&lowered(&ruleset).unwrap());
        let again = best_of_five(|| timed(|| drop(bench.apply(&lowered(&ruleset).unwrap()))));
        let ratio = apply.as_secs_f64() / restore.as_secs_f64();
        println!("ipset restore {restore:?}, apply {apply:?} ({ratio:.2} times), nothing to do {again:?}");
        assert!(ratio < MAX_RATIO, "{ratio:.2} times as long");
    });
}
