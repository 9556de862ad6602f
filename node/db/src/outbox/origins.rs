//! Whose rows a segment holds, where it holds those of several nodes: what version 2 of a payload adds.
//! The bytes are described in FORMAT.md under "Segment".

use std::collections::BTreeMap;
use std::sync::Arc;

use activestore_store::{decode_array, encode_array};
use activestore_types::{Error, NodeId, OriginId, Result, TableName};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType as ArrowType, Int64Type};
use serde::{Deserialize, Serialize};

/// The most nodes that one segment names: each is remembered for ever by who reads it.
pub(crate) const NODES_MAX: usize = 4096;

/// Keys of which a piece of a table has every row that its sender knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Covered {
    pub(crate) table: TableName,
    /// The first key.
    pub(crate) start: Vec<u8>,
    /// The first key behind them; empty for the table's end.
    pub(crate) end: Vec<u8>,
    /// Rows with stamps up to this that the piece does not have are gone.
    pub(crate) hlc: u64,
}

/// How a node names the writers of its rows.
pub(crate) struct Naming<'a> {
    /// The version of the definitions the rows are packed under.
    pub(crate) definitions: u64,
    /// The node that an origin of this store stands for.
    pub(crate) node_of: &'a dyn Fn(OriginId) -> Option<NodeId>,
    /// What the rows cover, where they are a piece of a table of the sender's own.
    pub(crate) covered: Option<Covered>,
    /// Of rows on their way up: the gateways below the sender that they have passed through.
    pub(crate) via: Option<Vec<NodeId>>,
}

impl Naming<'_> {
    /// Whether rows of these origins may go without names: the sender wrote them all.
    pub(crate) fn is_needless(&self, mut origins: impl Iterator<Item = u32>) -> bool {
        let direct = self.via.as_ref().is_some_and(Vec::is_empty);
        direct && origins.all(|origin| origin == 0)
    }
}

/// Who wrote the rows and the range tombstones of a segment.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Origins {
    /// The version of the sender's definitions the rows were packed under.
    pub(crate) definitions: u64,
    nodes: Vec<NodeId>,
    /// For each section, places in `nodes`, one a row, in the store's encoding.
    sections: Vec<Vec<u8>>,
    /// For each range tombstone, a place in `nodes`.
    erased: Vec<u32>,
    /// What the rows cover.
    pub(crate) covered: Option<Covered>,
    /// As [`Naming::via`]; it stands behind the rest.
    #[serde(skip)]
    pub(crate) via: Option<Vec<NodeId>>,
}

/// Gathers the origins of a segment that is being packed.
pub(crate) struct Gather<'a> {
    naming: &'a Naming<'a>,
    places: BTreeMap<u32, u32>,
    origins: Origins,
}

impl<'a> Gather<'a> {
    pub(crate) fn new(naming: &'a Naming<'a>) -> Self {
        Gather {
            naming,
            places: BTreeMap::new(),
            origins: Origins {
                definitions: naming.definitions,
                nodes: Vec::new(),
                sections: Vec::new(),
                erased: Vec::new(),
                covered: naming.covered.clone(),
                via: naming.via.clone(),
            },
        }
    }

    pub(crate) fn section(&mut self, rows: impl Iterator<Item = u32>) -> Result<()> {
        let places = rows
            .map(|origin| self.place(origin).map(|place| Some(i64::from(place))))
            .collect::<Result<Int64Array>>()?;
        let encoded = encode_array(&(Arc::new(places) as ArrayRef));
        self.origins.sections.push(encoded);
        Ok(())
    }

    pub(crate) fn erased(&mut self, origin: u32) -> Result<()> {
        let place = self.place(origin)?;
        self.origins.erased.push(place);
        Ok(())
    }

    pub(crate) fn end(self) -> Origins {
        self.origins
    }

    fn place(&mut self, origin: u32) -> Result<u32> {
        if let Some(place) = self.places.get(&origin) {
            return Ok(*place);
        }
        let node = (self.naming.node_of)(OriginId(origin)).ok_or_else(|| {
            Error::corrupt(format!("nobody knows which node the origin {origin} is"))
        })?;
        let place = self.origins.nodes.len() as u32;
        self.origins.nodes.push(node);
        self.places.insert(origin, place);
        Ok(place)
    }
}

impl Origins {
    /// Written behind the rest of a segment.
    pub(crate) fn append_to(&self, plain: Vec<u8>) -> postcard::Result<Vec<u8>> {
        let plain = postcard::to_extend(self, plain)?;
        match &self.via {
            Some(via) => postcard::to_extend(via, plain),
            None => Ok(plain),
        }
    }

    /// As [`Origins::append_to`] wrote them; `relayed` is whether the rows were on their way up.
    pub(crate) fn read(bytes: &[u8], relayed: bool) -> postcard::Result<Origins> {
        let (mut origins, rest) = postcard::take_from_bytes::<Origins>(bytes)?;
        if relayed {
            origins.via = Some(postcard::from_bytes(rest)?);
        }
        Ok(origins)
    }

    /// The nodes that are named.
    pub(crate) fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// Whether it speaks of so many sections and range tombstones, and of nodes it names.
    pub(crate) fn fits(&self, sections: usize, erased: usize) -> Result<()> {
        let named = |place: &u32| (*place as usize) < self.nodes.len();
        if self.sections.len() == sections
            && self.erased.len() == erased
            && self.nodes.len() <= NODES_MAX
            && self.erased.iter().all(named)
        {
            Ok(())
        } else {
            Err(Error::invalid("a segment's origins do not fit its rows"))
        }
    }

    /// The nodes as origins of the local store.
    pub(crate) fn local(&self, id_of: impl Fn(NodeId) -> Result<OriginId>) -> Result<Vec<u32>> {
        let ids = self.nodes.iter().map(|node| id_of(*node).map(|id| id.0));
        ids.collect()
    }

    /// The origins of a section's rows; `local` is from [`Origins::local`].
    pub(crate) fn rows(
        &self,
        section: usize,
        rows: usize,
        local: &[u32],
    ) -> Result<ScalarBuffer<u32>> {
        let wrong = || Error::invalid("a segment names rows of nobody");
        let encoded = self.sections.get(section).ok_or_else(wrong)?;
        let places = decode_array(encoded, &ArrowType::Int64)?;
        if places.len() != rows || places.null_count() > 0 {
            return Err(wrong());
        }
        let places = places.as_primitive::<Int64Type>().values().iter();
        places
            .map(|place| {
                let place = usize::try_from(*place).ok();
                place.and_then(|place| local.get(place)).copied()
            })
            .collect::<Option<Vec<u32>>>()
            .map(ScalarBuffer::from)
            .ok_or_else(wrong)
    }

    /// The origin of a range tombstone.
    pub(crate) fn of_erased(&self, index: usize, local: &[u32]) -> OriginId {
        let place = self.erased.get(index).copied().unwrap_or(0) as usize;
        OriginId(local.get(place).copied().unwrap_or(0))
    }
}
