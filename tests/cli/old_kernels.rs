//! The program on a kernel that lacks what came after Linux 3.10, which is that of CentOS 7.
//!
//! A filter answers as such a kernel would, to dockfw and to all that it runs.

use std::thread;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use crate::fixture::CliFixture;
use crate::host::Host;
use crate::running::Running;

/// The first system call after those of Linux 3.10; later ones have higher numbers, whatever the architecture.
const FIRST_LATER: libc::c_long = libc::SYS_sched_setattr;
/// Above those of any kernel, and below those of x86_64's second table.
const LAST_LATER: libc::c_long = 511;

type Rules = (libc::c_long, Vec<SeccompRule>);

/// Does a test's work where system calls, options of netlink sockets and clocks of timers later than 3.10 are unknown.
fn on_linux_3_10(work: impl FnOnce() + Send) {
    let refuse_and_work = || {
        refuse(libc::ENOPROTOOPT, vec![acknowledgement_options()]);
        refuse(libc::EINVAL, vec![timers_that_run_on()]);
        // The last, for a filter is set by one of the later calls.
        refuse(libc::ENOSYS, (FIRST_LATER..=LAST_LATER).map(|call| (call, vec![])).collect());
        work();
    };
    if let Err(panic) = thread::scope(|scope| scope.spawn(refuse_and_work).join()) {
        std::panic::resume_unwind(panic);
    }
}

fn acknowledgement_options() -> Rules {
    let of = |option| rule(&[(1, libc::SOL_NETLINK), (2, option)]);
    (libc::SYS_setsockopt, vec![of(libc::NETLINK_CAP_ACK), of(libc::NETLINK_EXT_ACK)])
}

fn timers_that_run_on() -> Rules {
    (libc::SYS_timerfd_create, vec![rule(&[(0, libc::CLOCK_BOOTTIME)])])
}

/// Where all of these arguments have these values.
fn rule(arguments: &[(u8, i32)]) -> SeccompRule {
    let condition = |&(index, value)| {
        SeccompCondition::new(index, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value as u64).unwrap()
    };
    SeccompRule::new(arguments.iter().map(condition).collect()).unwrap()
}

/// For the thread, and for the processes that it starts.
pub(crate) fn refuse(errno: i32, rules: Vec<Rules>) {
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let errno = SeccompAction::Errno(errno as u32);
    let filter =
        SeccompFilter::new(rules.into_iter().collect(), SeccompAction::Allow, errno, architecture).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

#[test]
#[ignore = "needs root"]
fn both_engines_put_the_policy_in_force_and_take_it_out() {
    let fixture = CliFixture::new("old-kernel");
    on_linux_3_10(|| {
        for engine in ["iptables", "nftables"] {
            let script = format!(
                "dockfw apply --backend {engine}; unchanged_all dockfw apply --backend {engine}; dockfw status"
            );
            fixture.script(&script).exits(0).prints(&format!("in force ({engine})"));
        }
        fixture.script("dockfw probe; dockfw apply; dockfw remove").exits(0);
    });
}

#[test]
#[ignore = "needs root"]
fn a_trial_ends_in_time() {
    let host = Host::with_two_policies("old-kernel-trial");
    on_linux_3_10(|| {
        let talk = Running::start(&mut host.waiter("apply --confirm 1s")).ends(7);
        assert!(talk.contains("undone: nobody confirmed it in time"), "{talk}");
    });
    assert_eq!(host.in_force(), ["443"]);
}
