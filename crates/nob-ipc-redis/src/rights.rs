//! What a user of a server may do, against what calls need.

use std::collections::BTreeSet;

use nob_ipc::{Kind, Result};

use crate::client::confirmation_of_changes;
use crate::connection::Connection;
use crate::fault::{Fault, is_forbidden};
use crate::object::letter;
use crate::scripts;
use crate::url::Topology;

/// What scripts do with the keys of an object, each with what comes behind the key.
const OF_KEYS: &[&[&str]] = &[
    &["HGETALL"],
    &["HGET", "f"],
    &["HSET", "f", "v"],
    &["HMGET", "f"],
    &["HINCRBY", "f", "1"],
    &["DEL"],
    &["PEXPIRE", "1"],
    &["EXISTS"],
    &["GET"],
    &["SET", "v"],
    &["ZCARD"],
    &["ZADD", "1", "m"],
    &["ZRANGE", "0", "1"],
    &["ZREM", "m"],
    &["ZPOPMIN", "1"],
    &["ZSCORE", "m"],
    &["ZCOUNT", "0", "1"],
    &["ZREMRANGEBYSCORE", "0", "1"],
];

/// What wakes those who wait. It is found out before anything is made, so that nothing is half done.
const OF_CHANNELS: &[&[&str]] = &[&["SPUBLISH", ""], &["SSUBSCRIBE"]];

/// What concerns no object.
const OTHERS: &[&[&str]] =
    &[&["EVALSHA", "0", "0"], &["HELLO", "3"], &["PING"], &["TIME"], &["SUNSUBSCRIBE"]];

/// A command, and what it is asked for.
struct Probe {
    words: Vec<String>,
    kind: Option<&'static str>,
    sign: char,
}

impl Probe {
    /// A command on an object of a kind. `sign`: that of the patterns it is covered by.
    fn of_object(namespace: &str, kind: &'static str, command: &[&str], sign: char) -> Probe {
        let key = format!("{namespace}:{{{kind}/doctor}}");
        let mut words: Vec<String> = command.iter().map(ToString::to_string).collect();
        words.insert(1, key);
        Probe { words, kind: Some(kind), sign }
    }

    fn other(command: &[impl AsRef<[u8]>]) -> Probe {
        let word = |word: &_| String::from_utf8_lossy(AsRef::as_ref(word)).into_owned();
        Probe { words: command.iter().map(word).collect(), kind: None, sign: ' ' }
    }

    /// The right to run it, as `ACL SETUSER` is told it.
    fn command(&self) -> String {
        let word = self.words[0].to_lowercase();
        match &self.words[1..] {
            [part] if word == "cluster" => format!("+{word}|{}", part.to_lowercase()),
            _ => format!("+{word}"),
        }
    }
}

fn kinds() -> impl Iterator<Item = &'static str> {
    Kind::ALL.into_iter().filter_map(letter)
}

/// All that calls need.
fn needed(connection: &Connection) -> Vec<Probe> {
    let namespace = connection.namespace();
    let mut probes: Vec<Probe> = OTHERS.iter().map(|command| Probe::other(command)).collect();
    for (commands, sign) in [(OF_KEYS, '~'), (OF_CHANNELS, '&')] {
        for kind in kinds() {
            let of_kind =
                commands.iter().map(|command| Probe::of_object(namespace, kind, command, sign));
            probes.extend(of_kind);
        }
    }
    probes.extend(confirmation_of_changes(connection.durability()).map(Probe::other));
    probes.extend(match connection.settings().url.topology {
        Topology::Single => None,
        Topology::Sentinel { .. } => Some(Probe::other(&["ROLE"])),
        Topology::Cluster => Some(Probe::other(&["ASKING"])),
    });
    probes
}

/// What lists of objects need besides.
fn listing(connection: &Connection) -> Vec<Probe> {
    let mut probes = vec![Probe::other(&["SCAN", "0"])];
    if connection.settings().url.topology == Topology::Cluster {
        probes.push(Probe::other(&["CLUSTER", "SLOTS"]));
    }
    probes
}

/// The rights that are missing for commands of which some were refused, as `ACL SETUSER` is told them.
fn missing(namespace: &str, probes: &[Probe], allowed: &[bool]) -> Vec<String> {
    let mut rights = BTreeSet::new();
    let all = || probes.iter().zip(allowed);
    for (probe, _) in all().filter(|(_, allowed)| !**allowed) {
        // What is allowed for another kind is a command that is allowed, and this kind's keys are not.
        let (command, sign) = (probe.command(), probe.sign);
        if !all().any(|(other, &allowed)| allowed && other.command() == command) {
            rights.insert(command);
        }
        let Some(kind) = probe.kind else { continue };
        let of_kind = |other: &Probe| (other.kind, other.sign) == (probe.kind, sign);
        if !all().any(|(other, &allowed)| allowed && of_kind(other)) {
            rights.insert(format!("{sign}{namespace}:{{{kind}/*"));
        }
    }
    for sign in ['~', '&'] {
        let each: Vec<String> =
            kinds().map(|kind| format!("{sign}{namespace}:{{{kind}/*")).collect();
        if each.iter().all(|pattern| rights.contains(pattern)) {
            rights.retain(|right| !each.contains(right));
            rights.insert(format!("{sign}{namespace}:{{?/*"));
        }
    }
    rights.into_iter().collect()
}

/// The rights that this user lacks, as `ACL SETUSER` is told them; of none, the texts are empty.
pub(crate) struct Lacking {
    pub for_calls: String,
    pub for_lists: String,
}

/// Which rights this user lacks; `None`: it may not run scripts, so that cannot be told.
pub(crate) fn check(connection: &Connection) -> Result<Option<Lacking>> {
    let (needed, listing) = (needed(connection), listing(connection));
    let mut words: Vec<Vec<u8>> = vec![b"EVAL".into(), scripts::RIGHTS.into(), b"0".into()];
    for probe in needed.iter().chain(&listing) {
        words.push(probe.words.len().to_string().into_bytes());
        words.extend(probe.words.iter().map(|word| word.clone().into_bytes()));
    }
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let client = connection.client()?;
    let answer = match connection.patiently(|pause| client.command(&words, pause)) {
        Ok(answer) => answer,
        Err(Fault::Refused(refusal)) if is_forbidden(&refusal) => return Ok(None),
        Err(fault) => return Err(connection.error(&fault)),
    };
    let allowed: Vec<bool> =
        answer.list().iter().map(|allowed| allowed.integer() == Some(1)).collect();
    if allowed.len() != needed.len() + listing.len() {
        let fault = Fault::Protocol("its answer about rights is none".into());
        return Err(connection.error(&fault));
    }
    let (of_calls, of_lists) = allowed.split_at(needed.len());
    let namespace = connection.namespace();
    Ok(Some(Lacking {
        for_calls: missing(namespace, &needed, of_calls).join(" "),
        for_lists: missing(namespace, &listing, of_lists).join(" "),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the texts of the scripts call is what is asked for.
    #[test]
    fn what_scripts_call_is_asked_for() {
        let lists = OF_KEYS.iter().chain(OF_CHANNELS).chain(OTHERS);
        let known: BTreeSet<&str> = lists.map(|command| command[0]).collect();
        let mut count = 0;
        for text in scripts::texts() {
            for called in text.split("redis.call('").skip(1) {
                let command = called.split('\'').next().unwrap();
                assert!(known.contains(command), "{command}");
                count += 1;
            }
        }
        assert!(count > 50);
    }

    #[test]
    fn what_is_missing_is_told_as_a_right() {
        let probe = |kind, command: &str| Probe::of_object("n", kind, &[command], '~');
        let probes: Vec<Probe> = kinds()
            .flat_map(|kind| [probe(kind, "GET"), probe(kind, "SET")])
            .chain([Probe::other(&["CLUSTER", "SLOTS"])])
            .collect();
        let told = |refuse: &dyn Fn(&Probe) -> bool| {
            let allowed: Vec<bool> = probes.iter().map(|probe| !refuse(probe)).collect();
            missing("n", &probes, &allowed).join(" ")
        };
        assert_eq!(told(&|_| false), "");
        assert_eq!(told(&|probe| probe.words[0] == "SET"), "+set");
        assert_eq!(told(&|probe| probe.kind == Some("l")), "~n:{l/*");
        assert_eq!(told(&|probe| probe.kind.is_some()), "+get +set ~n:{?/*");
        assert_eq!(told(&|probe| probe.kind.is_none()), "+cluster|slots");
    }
}
