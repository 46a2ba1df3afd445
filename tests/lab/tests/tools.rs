//! The lab's tools without Docker: probes, services, background transfers, handmade packets and their witness.
//!
//! Also the pattern for packet tests: contained first of all, one lab for all cases, one case after the other.

use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use dockfw_lab::{
    Hook, Lab, LabOptions, Machine, Observer, Outcome, PROTOS, Packet, Proto, SECOND_V4, SECOND_V6, Variant,
    Witness, contain, wait_until,
};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

type Case = fn(&Lab) -> Result<()>;

const CASES: [(&str, Case); 4] = [
    ("answers_come_from_the_address_asked", answers_come_from_the_address_asked),
    ("background_tools_notice", background_tools_notice),
    ("more_segments", more_segments),
    ("witness_tells_survivors", witness_tells_survivors),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // The cases share one lab, and change it.
    arguments.test_threads = Some(1);
    // A machine that cannot hold a lab is a reason to skip; a lab that cannot be raised is a failure.
    let lab =
        contain().map(|()| Lab::raise(LabOptions { variant: Variant::Native, ..LabOptions::default() }));
    let lab = Arc::new(lab);
    let trials = CASES.into_iter().map(|(name, case)| {
        let lab = lab.clone();
        Trial::ignorable_test(name, move || match lab.as_ref() {
            Err(reason) => Ok(Completion::ignored_with(format!("{reason:#}"))),
            Ok(Err(error)) => Err(Failed::from(format!("{error:#}"))),
            Ok(Ok(lab)) => {
                case(lab).map(|()| Completion::Completed).map_err(|error| format!("{error:#}").into())
            }
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn answers_come_from_the_address_asked(lab: &Lab) -> Result<()> {
    let service = lab.host.serve("53/udp", "dns")?;
    for address in [SECOND_V4.into(), SECOND_V6.into()] as [IpAddr; 2] {
        let outcome = lab.trusted.udp((address, 53));
        ensure!(outcome.is("dns"), "{address}: {outcome}");
    }
    ensure!(service.received().len() == 2 && service.heard("probe"), "{:?}", service.received());
    drop(service);
    wait_until(Duration::from_secs(1), "for the port to be closed", || {
        (lab.trusted.udp((lab.host.v4, 53)) == Outcome::Refused).then_some(())
    })
}

fn background_tools_notice(lab: &Lab) -> Result<()> {
    let _services = [
        lab.host.serve_stream("81/tcp", "stream")?,
        lab.host.serve_echo("7/tcp", "echo")?,
        lab.host.serve_echo("7/udp", "echo")?,
    ];
    let download = lab.trusted.download((lab.host.v6, 81))?;
    let conversations = PROTOS.into_iter().map(|proto| lab.trusted.converse(proto, (lab.host.v4, 7)));
    let mut conversations = conversations.collect::<Result<Vec<_>>>()?;
    download.assert_flowing()?;
    for conversation in &mut conversations {
        conversation.say("hello")?;
    }
    lab.host.nft("table inet t { chain c { type filter hook input priority 0; policy drop; }; }")?;
    download.assert_stalls(Duration::from_millis(300))?;
    ensure!(lab.trusted.tcp((lab.host.v4, 7)).is_silent(), "a dropped connection is not silent");
    let knocker = lab.untrusted.knock(Proto::Tcp, (lab.host.v4, 7));
    knocker.wait_for_more(30)?;
    ensure!(knocker.finish()? >= 30, "too few knocks");
    let knocker = lab.untrusted.knock(Proto::Udp, (lab.host.v4, 7));
    lab.host.nft("delete table inet t")?;
    wait_until(Duration::from_secs(5), "for a knock to be answered", || {
        (knocker.answers() > 0).then_some(())
    })?;
    ensure!(knocker.finish().is_err(), "an answer is an error");
    download.assert_flowing()?;
    download.finish().map(drop)
}

fn witness_tells_survivors(lab: &Lab) -> Result<()> {
    let sender = lab.untrusted.sender_to(&lab.host)?;
    let witness = Witness::install(&lab.host, "eth0")?;
    let observer = Observer::install(&lab.host, "eth0")?;
    lab.host.nft("table inet t { chain c { type filter hook input priority 0; tcp dport 1-100 drop; }; }")?;
    let sources = [("203.0.113.9", lab.host.addresses()[0]), ("2001:db8:9::9", lab.host.addresses()[1])];
    for (source, host) in sources {
        let source: IpAddr = source.parse()?;
        sender.send(&Packet::syn(source, host, 80, 1))?;
        sender.send(&Packet::syn(source, host, 180, 0xfff2))?;
        sender.send(&Packet::udp(source, host, 80, 3, "x"))?;
        sender.send(&Packet::echo(source, host, 4))?;
    }
    let survivors = witness.survivors_of(8)?;
    let told =
        |ipv6| survivors.iter().filter(|one| one.ipv6 == ipv6).map(|one| (one.hook, one.token)).collect();
    let expected = vec![(Hook::Input, 3), (Hook::Input, 4), (Hook::Input, 0xfff2)];
    let (v4, v6): (Vec<_>, Vec<_>) = (told(false), told(true));
    ensure!(v4 == expected && v6 == expected, "{survivors:?}");
    // The observer comes before the filter.
    let observed = observer.seen()?;
    ensure!(observed.keys().eq(&[1, 3, 4, 0xfff2]), "{observed:?}");
    ensure!(observed.values().all(|one| one.outgoing.is_none() && !one.is_live), "{observed:?}");
    witness.clear()?;
    ensure!(witness.seen()?.is_empty(), "the witness does not forget");
    lab.host.nft("delete table inet t")
}

fn more_segments(lab: &Lab) -> Result<()> {
    let _service = lab.host.serve("80/tcp", "host")?;
    let beyond = lab.outside_segment("br-ex")?;
    let machines = lab.bridge("virbr9", 2)?;
    for machine in machines.iter().chain([&beyond]) {
        let outcome = machine.tcp((lab.host.v6, 80));
        ensure!(matches!(outcome, Outcome::Unsent(_)), "{}: a route, from where? {outcome}", machine.name());
        for to in host_on(machine) {
            let outcome = machine.tcp(to);
            ensure!(outcome.is("host"), "{} to {to}: {outcome}", machine.name());
        }
    }
    let [first, second] = machines.as_slice() else { bail!("two machines") };
    let _service = second.serve("80/tcp", "second")?;
    ensure!(first.tcp((second.v6, 80)).is("second"), "machines of one bridge do not reach one another");
    Ok(())
}

/// The host's addresses on the segment of a machine: those ending in 1.
fn host_on(machine: &Machine) -> [std::net::SocketAddr; 2] {
    let [a, b, c, _] = machine.v4.octets();
    let mut v6 = machine.v6.segments();
    v6[7] = 1;
    [(std::net::Ipv4Addr::new(a, b, c, 1), 80).into(), (std::net::Ipv6Addr::from(v6), 80).into()]
}
