//! `nob-ipc ls`.

use nob_ipc::Kind;
use nob_ipc::registry::{self, Coverage, Listing, Object, State};
use nob_ipc_redis::Connection;

use super::table::Rows;
use crate::describe::{
    CANNOT_LIST_QUEUES, UNLINKED, holders_words, in_lists, measure_words, state_word,
};
use crate::failure::Result;
use crate::json::{self, RemoteJson};
use crate::output::{Output, complain};
use crate::people::Users;
use crate::server::objects;
use crate::text;

pub fn run(kinds: &[Kind], json: bool, server: Option<&Connection>) -> Result<()> {
    if let Some(server) = server {
        return run_at(server, kinds, json);
    }
    let mut listing = registry::list(if kinds.is_empty() { &Kind::ALL } else { kinds })?;
    listing.objects.sort_by(|one, other| in_lists(one.name(), other.name()));
    listing.unlinked.sort_by(|one, other| in_lists(&one.name, &other.name));
    let output = Output::new();
    if json {
        let listed = json::listing(&listing);
        output.write(json::pretty(&listed).as_bytes())?;
    } else {
        table(&listing).print(&output)?;
    }
    if listing.queues != Coverage::All {
        complain(CANNOT_LIST_QUEUES);
    }
    let unseen = listing.objects.iter().map(Object::unseen).max().unwrap_or(0);
    if unseen > 0 {
        let processes = text::count(unseen, "process", "processes");
        complain(&format!(
            "{processes} that could hold some of these may not be looked at by this user"
        ));
    }
    Ok(())
}

fn run_at(server: &Connection, kinds: &[Kind], json: bool) -> Result<()> {
    let objects = objects::list(server, kinds)?;
    let output = Output::new();
    if json {
        let listed: Vec<_> = objects.iter().map(RemoteJson::new).collect();
        return output.write(json::pretty(&listed).as_bytes());
    }
    let mut rows = Rows::new(&["KIND", "NAME", "CONTENT", "CREATOR"], &["CONTENT", "CREATOR"]);
    for object in &objects {
        rows.push(vec![
            object.info.name.kind().short_word().into(),
            object.info.name.as_bytes().to_vec(),
            object.words().into(),
            objects::creator(&object.info).into(),
        ]);
    }
    rows.print(&output)
}

fn table(listing: &Listing) -> Rows {
    let mut users = Users::default();
    let mut rows = Rows::new(
        &["KIND", "NAME", "CONTENT", "OWNER", "MODE", "AGE", "STATUS", "HOLDERS"],
        &["CONTENT", "HOLDERS"],
    );
    for object in &listing.objects {
        rows.push(vec![
            object.kind().short_word().into(),
            object.name().as_bytes().to_vec(),
            measure_words(object).into(),
            users.name(object.owner()).into(),
            format!("{:04o}", object.mode()).into(),
            text::age(object.age()).into(),
            state_cell(object.state()).into(),
            holders_words(object.holders()),
        ]);
    }
    for unlinked in &listing.unlinked {
        let unknown = || b"-".to_vec();
        rows.push(vec![
            unlinked.name.kind().short_word().into(),
            unlinked.name.as_bytes().to_vec(),
            unlinked.size.map_or_else(unknown, |size| text::size(size).into()),
            unknown(),
            unknown(),
            unknown(),
            UNLINKED.into(),
            holders_words(&unlinked.holders),
        ]);
    }
    rows
}

fn state_cell(state: State) -> &'static str {
    match state_word(state) {
        "unknown" => "?",
        word => word,
    }
}
