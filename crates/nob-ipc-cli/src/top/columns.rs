//! Which columns the list has at a width, and how wide they are.

use super::model::Sort;

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
    Holders,
}

/// In the order of the screen.
const ALL: [Column; 10] = [
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
];

/// The most important one first: the last ones give way first.
const BY_IMPORTANCE: [Column; 10] = [
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
];

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
            Column::Holders => "HOLDERS",
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
            Column::Holders => Some(Sort::Holders),
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
            Column::Rate => (6, 6),
            Column::History => (8, 24),
            Column::Owner => (self.owner.clamp(6, 8), self.owner.clamp(6, 16)),
            Column::Mode => (5, 5),
            Column::Age => (4, 4),
            Column::Status => (7, 7),
            Column::Holders => (self.holders.clamp(8, 12), self.holders.max(8)),
        }
    }
}

/// The columns for a width, from the left to the right, with a space between two.
pub fn choose(width: u16, needs: Needs) -> Vec<(Column, u16)> {
    /// Who gets what is left over.
    const HUNGRY: [Column; 5] =
        [Column::Name, Column::Content, Column::Owner, Column::Holders, Column::History];
    let width = usize::from(width);
    let mut left = width;
    let mut chosen: Vec<(Column, usize)> = Vec::new();
    for column in BY_IMPORTANCE {
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
    let shown = ALL.into_iter().filter_map(|column| Some((column, size(column)?)));
    shown.map(|(column, size)| (column, u16::try_from(size).unwrap_or(u16::MAX))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(name: usize) -> Needs {
        Needs { kind: 7, name, content: 22, owner: 4, holders: 30 }
    }

    #[test]
    fn what_matters_least_gives_way_first() {
        let mut before = usize::MAX;
        for width in (10..=200).rev() {
            let columns = choose(width, needs(24));
            let taken: u16 = columns.iter().map(|&(_, size)| size + 1).sum();
            assert!(taken - 1 <= width, "{width}: {columns:?}");
            let names: Vec<Column> = columns.iter().map(|&(column, _)| column).collect();
            assert!(names.contains(&Column::Name), "{width}");
            assert!(columns.len() <= before, "{width}: {names:?}");
            before = columns.len();
        }
        let names = |width| -> Vec<&str> {
            choose(width, needs(24)).into_iter().map(|(column, _)| column.title()).collect()
        };
        assert_eq!(names(200).len(), ALL.len());
        assert_eq!(names(80), ["KIND", "NAME", "CONTENT", "RATE", "AGE", "STATUS", "HOLDERS"]);
        assert_eq!(names(50), ["KIND", "NAME", "CONTENT"]);
        assert_eq!(names(12), ["NAME"]);
    }

    #[test]
    fn a_name_is_cut_only_beside_little() {
        let name_at = |width, need| {
            let columns = choose(width, needs(need));
            columns.into_iter().find(|(column, _)| *column == Column::Name).map(|(_, size)| size)
        };
        for (width, need, size) in [(80, 24, 24), (80, 58, 58), (50, 24, 24), (50, 28, 28)] {
            assert_eq!(name_at(width, need), Some(size), "{width} {need}");
        }
        assert!(name_at(80, 255) >= Some(40) && choose(80, needs(255)).len() >= 5);
        assert!(name_at(200, 100) == Some(100));
    }
}
