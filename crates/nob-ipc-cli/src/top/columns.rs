//! Which columns the list has at a width, and how wide they are.

use super::row::Place;
use super::sort::Sort;

/// What can be shown of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Kind,
    Name,
    Content,
    Rate,
    History,
    Owner,
    Mode,
    Age,
    Status,
    Waiting,
    Lease,
    Holders,
    Creator,
}

impl Place {
    /// Its columns, in the order of the screen.
    fn columns(self) -> &'static [Column] {
        match self {
            Place::Machine => &[
                Column::Kind,
                Column::Name,
                Column::Content,
                Column::Rate,
                Column::History,
                Column::Owner,
                Column::Mode,
                Column::Age,
                Column::Status,
                Column::Holders,
            ],
            Place::Server => &[
                Column::Kind,
                Column::Name,
                Column::Content,
                Column::Rate,
                Column::History,
                Column::Waiting,
                Column::Lease,
                Column::Holders,
                Column::Creator,
            ],
        }
    }

    /// The most important one first: the last ones give way first.
    fn by_importance(self) -> &'static [Column] {
        match self {
            Place::Machine => &[
                Column::Name,
                Column::Kind,
                Column::Content,
                Column::Status,
                Column::Rate,
                Column::Holders,
                Column::Age,
                Column::History,
                Column::Owner,
                Column::Mode,
            ],
            Place::Server => &[
                Column::Name,
                Column::Kind,
                Column::Content,
                Column::Waiting,
                Column::Rate,
                Column::Lease,
                Column::Holders,
                Column::Creator,
                Column::History,
            ],
        }
    }

    /// What its list can be sorted by, in the order of the screen.
    pub fn sorts(self) -> Vec<Sort> {
        self.columns().iter().filter_map(|column| column.sort()).collect()
    }
}

impl Column {
    pub fn title(self) -> &'static str {
        match self {
            Column::Kind => "KIND",
            Column::Name => "NAME",
            Column::Content => "CONTENT",
            Column::Rate => "RATE",
            Column::History => "HISTORY",
            Column::Owner => "OWNER",
            Column::Mode => "MODE",
            Column::Age => "AGE",
            Column::Status => "STATUS",
            Column::Waiting => "WAITING",
            Column::Lease => "LEASE",
            Column::Holders => "HOLDERS",
            Column::Creator => "CREATOR",
        }
    }

    /// What the list is sorted by when it is sorted by this one.
    pub fn sort(self) -> Option<Sort> {
        match self {
            Column::Kind => Some(Sort::Kind),
            Column::Name => Some(Sort::Name),
            Column::Content => Some(Sort::Content),
            Column::Rate => Some(Sort::Rate),
            Column::History => None,
            Column::Owner => Some(Sort::Owner),
            Column::Mode => Some(Sort::Mode),
            Column::Age => Some(Sort::Age),
            Column::Status => Some(Sort::Status),
            Column::Waiting => Some(Sort::Waiting),
            Column::Lease => Some(Sort::Lease),
            Column::Holders => Some(Sort::Holders),
            Column::Creator => Some(Sort::Creator),
        }
    }
}

/// How wide the widest cell of the columns is whose cells differ.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    pub kind: usize,
    pub name: usize,
    pub content: usize,
    pub owner: usize,
    pub holders: usize,
    pub creator: usize,
}

impl Needs {
    /// How wide a column is at the least, and at the most.
    fn bounds(self, column: Column, width: usize) -> (usize, usize) {
        match column {
            // Names give way last: they are whole as long as a kind and a little of the content have room.
            // One that is too long for that is cut, and takes half.
            Column::Name => {
                let need = self.name.max(5);
                let rest = [Column::Kind, Column::Content];
                let rest = rest.map(|column| self.bounds(column, width).0 + 1).iter().sum();
                let is_whole = need <= width.saturating_sub(rest);
                (if is_whole { need } else { need.min(width / 2) }, need)
            }
            Column::Kind => (self.kind.clamp(5, 7), self.kind.clamp(5, 7)),
            Column::Content => (self.content.clamp(8, 12), self.content.clamp(8, 48)),
            Column::Rate | Column::Lease => (6, 6),
            Column::History => (8, 24),
            Column::Owner => (self.owner.clamp(6, 8), self.owner.clamp(6, 16)),
            Column::Mode => (5, 5),
            Column::Age => (4, 4),
            Column::Status => (7, 7),
            Column::Waiting => (8, 8),
            Column::Creator => (self.creator.clamp(8, 12), self.creator.max(8)),
            Column::Holders => (self.holders.clamp(8, 12), self.holders.max(8)),
        }
    }
}

/// The columns for a width, from the left to the right, with a space between two.
pub fn choose(place: Place, width: u16, needs: Needs) -> Vec<(Column, u16)> {
    /// Who gets what is left over.
    const HUNGRY: [Column; 6] = [
        Column::Name,
        Column::Content,
        Column::Owner,
        Column::Holders,
        Column::Creator,
        Column::History,
    ];
    let width = usize::from(width);
    let mut left = width;
    let mut chosen: Vec<(Column, usize)> = Vec::new();
    for &column in place.by_importance() {
        let least = needs.bounds(column, width).0 + usize::from(!chosen.is_empty());
        // The name is there however little room there is.
        if least > left && !chosen.is_empty() {
            break;
        }
        left = left.saturating_sub(least);
        chosen.push((column, needs.bounds(column, width).0));
    }
    for hungry in HUNGRY {
        if let Some((column, size)) = chosen.iter_mut().find(|(column, _)| *column == hungry) {
            let more = left.min(needs.bounds(*column, width).1.saturating_sub(*size));
            *size += more;
            left -= more;
        }
    }
    let size = |column: Column| chosen.iter().find(|(it, _)| *it == column).map(|&(_, size)| size);
    let shown = place.columns().iter().filter_map(|&column| Some((column, size(column)?)));
    shown.map(|(column, size)| (column, u16::try_from(size).unwrap_or(u16::MAX))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(name: usize) -> Needs {
        Needs { kind: 7, name, content: 22, owner: 4, holders: 30, creator: 14 }
    }

    #[test]
    fn what_matters_least_gives_way_first() {
        for place in [Place::Machine, Place::Server] {
            gives_way(place);
        }
        let names = |place, width| -> Vec<&str> {
            let columns = choose(place, width, needs(24));
            columns.into_iter().map(|(column, _)| column.title()).collect()
        };
        let machine = |width| names(Place::Machine, width);
        assert_eq!(machine(80), ["KIND", "NAME", "CONTENT", "RATE", "AGE", "STATUS", "HOLDERS"]);
        assert_eq!(machine(50), ["KIND", "NAME", "CONTENT"]);
        assert_eq!(machine(12), ["NAME"]);
        let server = |width| names(Place::Server, width);
        assert_eq!(server(80), ["KIND", "NAME", "CONTENT", "RATE", "WAITING", "LEASE"]);
        assert_eq!(server(50), ["KIND", "NAME", "CONTENT"]);
        assert_eq!(server(12), ["NAME"]);
    }

    fn gives_way(place: Place) {
        let mut before = usize::MAX;
        for width in (10..=200).rev() {
            let columns = choose(place, width, needs(24));
            let taken: u16 = columns.iter().map(|&(_, size)| size + 1).sum();
            assert!(taken - 1 <= width, "{width}: {columns:?}");
            let names: Vec<Column> = columns.iter().map(|&(column, _)| column).collect();
            assert!(names.contains(&Column::Name), "{width}");
            assert!(columns.len() <= before, "{width}: {names:?}");
            before = columns.len();
        }
        assert_eq!(choose(place, 200, needs(24)).len(), place.columns().len());
    }

    #[test]
    fn a_name_is_cut_only_beside_little() {
        let name_at = |width, need| {
            let columns = choose(Place::Machine, width, needs(need));
            columns.into_iter().find(|(column, _)| *column == Column::Name).map(|(_, size)| size)
        };
        for (width, need, size) in [(80, 24, 24), (80, 58, 58), (50, 24, 24), (50, 28, 28)] {
            assert_eq!(name_at(width, need), Some(size), "{width} {need}");
        }
        assert!(name_at(80, 255) >= Some(40) && choose(Place::Machine, 80, needs(255)).len() >= 5);
        assert!(name_at(200, 100) == Some(100));
    }
}
