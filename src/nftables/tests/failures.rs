//! What happens if something is in the way.

use std::os::unix::process::CommandExt;

use super::*;

/// Returns `small` with a rule in the middle that the kernel refuses, because its set is missing.
fn with_a_bad_rule() -> Table {
    let mut table = small_with_a_host();
    let bad = rule("bad", vec![source_in(Family::Ipv4, "nowhere"), Statement::Accept]);
    table.chains[0].rules.insert(1, bad);
    table
}

fn assert_names_the_bad_rule(error: EngineError) {
    let EngineError::Refused(refusals) = error else { panic!("{error:?}") };
    let lines: Vec<_> = refusals.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["add rule to chain input: No such file or directory; from allow \"bad\""]);
}

#[test]
#[ignore = "needs root"]
fn a_refused_rule_is_named_and_the_old_table_stays() {
    in_namespace(|| {
        apply(&small());
        let before = listing();
        assert_names_the_bad_rule(Nftables::default().apply_table(&with_a_bad_rule()).unwrap_err());
        assert_eq!(listing(), before);
    });
}

#[test]
#[ignore = "needs root"]
fn every_refused_rule_is_named() {
    in_namespace(|| {
        let mut table = with_a_bad_rule();
        let worse = rule("worse", vec![Statement::Log("x".repeat(200)), Statement::Accept]);
        table.chains[0].rules.push(worse);
        let Err(EngineError::Refused(refusals)) = Nftables::default().apply_table(&table) else {
            panic!("not refused")
        };
        let origins: Vec<_> =
            refusals.iter().map(|refusal| refusal.origin.as_ref().unwrap().what.as_str()).collect();
        assert_eq!(origins, ["allow \"bad\"", "allow \"worse\""]);
    });
}

#[test]
#[ignore = "needs root"]
fn checking_says_the_same_and_changes_nothing() {
    in_namespace(|| {
        assert_names_the_bad_rule(Nftables::default().check_table(&with_a_bad_rule()).unwrap_err());
        assert!(nft("list tables").is_empty());
        apply(&small());
        let before = listing();
        Nftables::default().check_table(&small_with_a_host()).unwrap();
        assert_eq!(listing(), before);
    });
}

#[test]
#[ignore = "needs root"]
fn a_race_is_run_again() {
    in_namespace(|| {
        let docker = |attempt| {
            if attempt < 3 {
                nft(&format!("add table ip docker{attempt}"));
            }
        };
        let engine = Nftables { between: Some(docker), ..Nftables::default() };
        engine.apply_table(&small()).unwrap();
        assert_eq!(differences(&small()), [""; 0]);
        assert_eq!(nft("list tables").lines().count(), 4);
    });
}

#[test]
#[ignore = "needs root"]
fn a_race_that_never_ends_is_given_up() {
    in_namespace(|| {
        let engine = Nftables {
            between: Some(|attempt| drop(nft(&format!("add table ip docker{attempt}")))),
            ..Nftables::default()
        };
        assert!(matches!(engine.apply_table(&small()), Err(EngineError::Raced)));
        assert_eq!(nft("list tables").lines().count(), MAX_RACES);
    });
}

#[test]
#[ignore = "needs root"]
fn elements_that_overlap_are_refused_by_the_name_of_their_set() {
    in_namespace(|| {
        let mut table = small();
        table.sets[1].elements = Elements::Ipv4(v4(&["10.0.0.0/8", "10.1.0.0/16"]));
        let Err(EngineError::Refused(refusals)) = Nftables::default().apply_table(&table) else {
            panic!("not refused")
        };
        assert_eq!(refusals[0].operation, "add elements to set nets4");
    });
}

#[test]
fn a_range_in_a_hash_set_is_refused() {
    let mut table = small();
    table.sets[0].elements = Elements::Ipv4(v4(&["10.0.0.0/8"]));
    let error = encode(&table).unwrap_err();
    assert!(error.to_string().contains("hosts4"), "{error}");
}

/// Set in the environment of the process that the test below starts.
const UNPRIVILEGED: &str = "DOCKFW_TEST_UNPRIVILEGED";

#[test]
#[ignore = "needs root"]
fn a_process_that_may_not_is_told_so() {
    if std::env::var_os(UNPRIVILEGED).is_some() {
        let engine = Nftables::default();
        assert!(matches!(engine.apply_table(&small()), Err(EngineError::NotPermitted)));
        assert!(matches!(engine.check_table(&small()), Err(EngineError::NotPermitted)));
        assert!(matches!(engine.probe(), Err(EngineError::NotPermitted)));
        assert!(matches!(engine.features(), Err(EngineError::NotPermitted)));
        return;
    }
    in_namespace(|| {
        let test = "nftables::tests::failures::a_process_that_may_not_is_told_so";
        // A copy that everyone may read: the build directory may be closed to others.
        let directory = std::env::temp_dir();
        let copy = directory.join(format!("dockfw-unprivileged-{}", std::process::id()));
        std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        // The user nobody, as in every distribution.
        let result = Command::new(&copy)
            .args(["--exact", test, "--nocapture", "--ignored"])
            .env(UNPRIVILEGED, "1")
            .uid(65534)
            .output();
        std::fs::remove_file(&copy).unwrap();
        let output = result.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    });
}

#[test]
#[ignore = "needs root"]
fn lost_answers_are_looked_up() {
    in_namespace(|| {
        let engine = Nftables::default();
        let wanted = encode(&small()).unwrap();
        let mut socket = Socket::open().unwrap();
        assert!(matches!(engine.find_out(&mut socket, &wanted), Err(Failure::Unknown)));
        apply(&small());
        assert!(engine.find_out(&mut socket, &wanted).is_ok());
    });
}

#[test]
#[ignore = "needs root"]
fn more_errors_than_there_is_room_for_are_no_success() {
    in_namespace(|| {
        let mut table = with_a_bad_rule();
        let bad = table.chains[0].rules[1].clone();
        table.chains[0].rules.extend(std::iter::repeat_n(bad, 20_000));
        let error = Nftables::default().apply_table(&table).unwrap_err();
        assert!(matches!(&error, EngineError::Refused(refusals) if refusals.len() > 1000), "{error:?}");
        assert!(nft("list tables").is_empty());
    });
}

/// Set in the environment of the process that the test below starts.
const USER_NAMESPACE: &str = "DOCKFW_TEST_USER_NAMESPACE";

#[test]
#[ignore = "needs root"]
fn in_a_user_namespace_the_kernels_limit_holds_and_is_named() {
    if std::env::var_os(USER_NAMESPACE).is_some() {
        let mut table = small();
        // Each takes 20 bytes.
        let more_than_fit = Socket::open().unwrap().max_datagram() / 20 + 1000;
        table.sets[0].elements = Elements::Ipv4(many(more_than_fit as u32, false));
        Nftables::default().check_table(&table).expect("judged without its elements");
        Nftables::default().apply_table(&table).expect("elements come in several transactions");
        assert_eq!(texts(&Nftables::new(true).apply_table(&table).unwrap()), [""; 0]);
        // If a list is refused in the middle, no part of it stays.
        let before = nft("list sets inet").lines().count();
        let mut refused = table.with_sets_renamed(|name| (name == "hosts4").then(|| "more4".into()));
        refused.sets[1] = set("nets4_0123456789", Elements::Ipv4(v4(&["10.0.0.0/8", "10.1.0.0/16"])), true);
        assert!(matches!(Nftables::default().apply_table(&refused), Err(EngineError::Refused(_))));
        assert_eq!(nft("list sets inet").lines().count(), before);
        // Rules change at once, or not at all. Each takes 200 bytes and more.
        let rules = table.chains[0].rules.clone();
        table.chains[0].rules.extend(rules.iter().cycle().take(more_than_fit / 8).cloned());
        let error = Nftables::default().apply_table(&table).unwrap_err();
        assert!(error.to_string().contains("net.core.wmem_max"), "{error}");
        return;
    }
    let test = "nftables::tests::failures::in_a_user_namespace_the_kernels_limit_holds_and_is_named";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--ignored"])
        .env(USER_NAMESPACE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
