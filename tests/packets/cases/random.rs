//! Random packets: neither the prefilter nor the choice of engine changes a verdict.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use dockfw_lab::{Body, Packet, TcpFlags};

use super::SOURCES;
use super::forged::survivors;
use crate::world::{Engine, Setting, World};

const PACKETS: usize = 4000;

const POLICY: &str = r#"
[[allow]]
name  = "host"
ports = ["22/tcp", "22/udp"]
to    = "host"

[[allow]]
name  = "docker"
ports = ["8443/tcp", "7000-7001/tcp", "8083/udp"]
to    = "docker"

[[allow]]
name  = "any"
ports = ["8080/tcp", "9000/udp", "esp"]

[[allow]]
name  = "office"
from  = ["192.0.2.24/29", "2001:db8:1::30"]
ports = ["8082/tcp", "3000/tcp"]

[swarm]
peers = ["192.0.2.50"]
"#;

/// With the native engine, without its prefilter, and with the compat engine: the same packets get through.
pub(super) fn judged_alike(world: &World<'_>, setting: Setting) -> Result<()> {
    let mut dice = Dice(if setting.prefilter { 0x5eed_0001 } else { 0x5eed_0002 });
    let packets: Vec<_> = (0..PACKETS).map(|_| random_packet(world, &mut dice)).collect::<Result<_>>()?;
    let packets: Vec<_> = packets.into_iter().map(|packet| (format!("{packet:?}"), packet)).collect();
    let sender = world.lab.untrusted.sender_to(&world.lab.host)?;
    let judge = |setting| {
        world.apply(setting, &format!("{SOURCES}{POLICY}"))?;
        survivors(world, &sender, &packets)
    };
    let plain = judge(Setting { engine: Engine::Native, prefilter: false })?;
    let other = judge(Setting { prefilter: true, ..setting })?;
    let differing: Vec<_> = plain.symmetric_difference(&other).collect();
    ensure!(differing.is_empty(), "judged differently: {differing:#?}");
    let share = plain.len() * 100 / packets.len();
    ensure!((5..80).contains(&share), "{share} % got through: too one-sided to tell anything");
    Ok(())
}

/// A small generator (xorshift, Marsaglia 2003): the same packets in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % sides
    }

    fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.roll(choices.len())].clone()
    }
}

fn random_packet(world: &World<'_>, dice: &mut Dice) -> Result<Packet> {
    let (sources, destinations): (Vec<IpAddr>, Vec<IpAddr>) = if dice.roll(2) == 0 {
        let sources = [
            "192.0.2.10",
            "192.0.2.20",
            "192.0.2.30",
            "192.0.2.40",
            "192.0.2.50",
            "172.17.0.77",
            "203.0.113.9",
        ];
        let containers =
            [world.web.v4().into(), world.same.v4().into(), "192.0.2.1".parse()?, "192.0.2.2".parse()?];
        (parse(&sources)?, containers.into())
    } else {
        let sources = [
            "2001:db8:1::10",
            "2001:db8:1::20",
            "2001:db8:1::30",
            "2001:db8:1::40",
            "2001:db8:9::1",
            "fd00:d0c::77",
        ];
        let containers = [
            world.web.v6().into(),
            world.quiet.v6().into(),
            "2001:db8:1::1".parse()?,
            "2001:db8:1::2".parse()?,
        ];
        (parse(&sources)?, containers.into())
    };
    Ok(Packet {
        source: dice.pick(&sources),
        destination: dice.pick(&destinations),
        token: 1,
        body: random_body(dice),
    })
}

fn parse(addresses: &[&str]) -> Result<Vec<IpAddr>> {
    addresses.iter().map(|address| Ok(address.parse()?)).collect()
}

fn random_body(dice: &mut Dice) -> Body {
    let ports = [22, 80, 2377, 3000, 7000, 7001, 7002, 8080, 8081, 8082, 8083, 8443, 9000, 443, 1, 65535];
    let from = dice.pick(&[1024, 40000, 40001, 40002, 50000, 22, 8080]);
    match dice.roll(10) {
        0 => Body::Icmp { kind: dice.pick(&[8, 0, 3, 128, 135, 13]), code: 0, rest: vec![0; 20] },
        1 => Body::Other { protocol: dice.pick(&[50, 47, 2]), payload: vec![0; 16] },
        2 | 3 => Body::Udp { from, to: dice.pick(&ports), payload: vec![0; 4] },
        4..=7 => Body::Tcp { from, to: dice.pick(&ports), flags: TcpFlags::SYN },
        // Any combination, with the ECN bits.
        _ => Body::Tcp {
            from,
            to: dice.pick(&ports),
            flags: TcpFlags(u8::try_from(dice.roll(256)).unwrap_or_default()),
        },
    }
}
