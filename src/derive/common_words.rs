//! Words that many companies have in their names: how they are written short, and which say little.

use std::{collections::HashMap, sync::LazyLock};

/// Ways to write a word, and the one that is compared.
#[rustfmt::skip]
const WRITTEN: &[(&str, &str)] = &[
    ("intl", "international"), ("int", "international"), ("internacional", "international"),
    ("internationale", "international"), ("internazionale", "international"), ("tech", "technology"),
    ("techs", "technology"), ("technologies", "technology"), ("tecnologia", "technology"), ("technologie", "technology"),
    ("technologien", "technology"), ("tecnologias", "technology"), ("tecnologie", "technology"),
    ("teknoloji", "technology"), ("teknologi", "technology"), ("keji", "technology"), ("jishu", "technology"),
    ("holdings", "holding"), ("hldg", "holding"), ("hldgs", "holding"), ("konggu", "holding"), ("horudeingusu", "holding"),
    ("grp", "group"), ("groupe", "group"), ("gruppe", "group"), ("grupo", "group"), ("gruppo", "group"), ("jituan", "group"),
    ("grupa", "group"), ("groep", "group"), ("gurupu", "group"), ("svc", "service"), ("svcs", "service"),
    ("services", "service"), ("servicios", "service"), ("servicos", "service"), ("sys", "system"), ("systems", "system"),
    ("systeme", "system"), ("systemes", "system"), ("sistemas", "system"), ("sistemi", "system"), ("soln", "solution"),
    ("solns", "solution"), ("solutions", "solution"), ("soluciones", "solution"), ("solucoes", "solution"), ("labs", "lab"),
    ("laboratory", "lab"), ("laboratories", "lab"), ("laboratorios", "lab"), ("bros", "brothers"), ("brother", "brothers"),
    ("mfg", "manufacturing"), ("mgmt", "management"), ("mgt", "management"), ("assoc", "associate"),
    ("associates", "associate"), ("assocs", "associate"), ("natl", "national"), ("inds", "industry"), ("ind", "industry"),
    ("industries", "industry"), ("industrie", "industry"), ("industrias", "industry"), ("eng", "engineering"), ("engr", "engineering"),
    ("engrg", "engineering"), ("pharma", "pharmaceutical"), ("pharmaceuticals", "pharmaceutical"),
    ("pharmaceutics", "pharmaceutical"), ("dev", "development"), ("devt", "development"), ("developments", "development"),
    ("univ", "university"), ("ctr", "center"), ("centre", "center"), ("centers", "center"), ("centres", "center"),
    ("partners", "partner"), ("ventures", "venture"), ("consultants", "consulting"), ("consultancy", "consulting"),
    ("studios", "studio"), ("networks", "network"), ("products", "product"), ("software", "software"),
    ("communications", "communication"), ("comms", "communication"), ("logistik", "logistics"), ("logistica", "logistics"),
    ("enterprises", "enterprise"), ("entreprises", "enterprise"), ("analytic", "analytics"), ("robotic", "robotics"),
    ("therapeutic", "therapeutics"), ("diagnostic", "diagnostics"), ("foods", "food"), ("brands", "brand"),
    ("properties", "property"), ("investments", "investment"), ("resources", "resource"), ("apps", "app"), ("games", "game"),
    ("gaming", "game"), ("medical", "medical"), ("medicals", "medical"), ("uk", "uk"), ("gb", "uk"), ("us", "usa"), ("deutschland", "germany"),
    ("france", "france"), ("espana", "spain"), ("italia", "italy"), ("nederland", "netherlands"), ("schweiz", "switzerland"),
    ("suisse", "switzerland"), ("osterreich", "austria"), ("polska", "poland"), ("sverige", "sweden"), ("norge", "norway"),
    ("danmark", "denmark"), ("suomi", "finland"), ("brasil", "brazil"), ("zhongguo", "china"), ("saint", "st"), ("dept", "department"),
];

/// Words of which a name can have one more or less and still be that of the same company. As they are compared.
#[rustfmt::skip]
const SLIGHT: &[&str] = &[
    "international", "technology", "holding", "group", "service", "system", "solution", "lab", "brothers",
    "manufacturing", "management", "associate", "national", "industry", "engineering", "development", "partner", "venture",
    "consulting", "studio", "network", "product", "software", "communication", "enterprise", "global", "digital", "worldwide",
    "ai", "io", "com", "net", "org", "app", "hq", "tv", "so", "cloud", "online", "web", "the", "de", "la", "le", "el", "di", "der",
    "die", "das", "of", "for", "and", "company", "co", "inc", "ltd", "gmbh", "ag", "sa", "corp", "ab", "oy", "as", "team", "platform", "platforms",
    "uk", "usa", "america", "americas", "europe", "european", "eu", "emea", "apac", "asia", "pacific", "germany", "france", "spain",
    "italy", "netherlands", "switzerland", "austria", "poland", "sweden", "norway", "denmark", "finland", "brazil",
    "china", "japan", "india", "ireland", "canada", "australia", "singapore", "korea", "mexico", "israel", "hong", "kong",
    "taiwan", "london", "berlin", "paris", "york", "new", "beijing", "shanghai", "shenzhen", "guangzhou", "hangzhou", "north",
    "benelux", "nordic", "nordics", "iberia", "dach", "project", "business", "data",
];

/// Words for a trade: they part companies of one name, though not as surely as other words.
#[rustfmt::skip]
const TRADES: &[&str] = &[
    "capital", "media", "health", "healthcare", "bio", "biotech", "energy", "security", "financial", "finance", 
    "food", "medical", "pharmaceutical", "analytics", "robotics", "therapeutics", "diagnostics", "biosciences", "sciences",
    "logistics", "insurance", "bank", "bancorp", "research", "design", "creative", "marketing", "agency", "interactive",
    "entertainment", "education", "learning", "investment", "property", "estate", "realty", "resource", "power", "solar", "game",
    "intelligence", "payments", "pay", "mobile", "brand", "center", "university", "electronics", "motors", "automotive",
    "construction", "materials", "chemicals", "consumer", "retail", "home", "space", "aerospace", "travel", 
];

/// Returns the form of a word that is compared.
pub(crate) fn written(word: &str) -> &str {
    WRITTEN_MAP.get(word).copied().unwrap_or(word)
}

/// Returns how much a word says of whose name it is: at most 1.
pub(crate) fn weight(word: &str) -> f64 {
    WEIGHTS.get(word).copied().unwrap_or(1.0)
}

/// Returns whether a word tells companies apart.
pub(crate) fn is_telling(word: &str) -> bool {
    weight(word) > SLIGHT_WEIGHT
}

static WRITTEN_MAP: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| WRITTEN.iter().copied().collect());

static WEIGHTS: LazyLock<HashMap<&str, f64>> = LazyLock::new(|| {
    let slight = SLIGHT.iter().map(|word| (*word, SLIGHT_WEIGHT));
    slight.chain(TRADES.iter().map(|word| (*word, TRADE_WEIGHT))).collect()
});

/// The weight of a word of [`SLIGHT`].
const SLIGHT_WEIGHT: f64 = 0.35;

/// The weight of a word of [`TRADES`].
const TRADE_WEIGHT: f64 = 0.6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_that_is_compared_has_no_other() {
        for (word, form) in WRITTEN {
            assert_eq!(written(form), *form, "{word}");
        }
        assert_eq!(WRITTEN_MAP.len(), WRITTEN.len(), "a word stands there twice");
    }

    #[test]
    fn weights_are_of_words_as_they_are_compared_and_each_has_one() {
        for word in SLIGHT.iter().chain(TRADES) {
            assert_eq!(written(word), *word);
        }
        assert_eq!(WEIGHTS.len(), SLIGHT.len() + TRADES.len(), "a word stands there twice");
    }
}
