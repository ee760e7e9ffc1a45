//! Legal forms of the world's jurisdictions, and names without them.
//!
//! The lists hold words as `company_name` makes them: lower case, Latin letters without accents, single letters
//! joined (`S.p.A.` is `spa`), and no «and» (`GmbH & Co. KG` is `gmbh co kg`). Other scripts stand as they are.

use std::{collections::HashSet, sync::LazyLock};

/// Forms that stand behind a name. Of several that fit, the one with the most words is taken.
#[rustfmt::skip]
const BEHIND: &[&str] = &[
    // Words of many countries.
    "ltd", "limited", "unlimited", "unltd", "inc", "incorporated", "corp", "corporation", "co", "company", "companies",
    "cie", "compagnie", "public limited company", "plc", "dac", "clg", "teoranta", "cyf",
    "limited liability company", "limited partnership", "llc", "lllp", "llp", "lp", "pllc", "pbc", "rlllp",
    "public benefit corporation", "l3c", "ulc", "ltee", "limitee", "senc",
    // Australia, New Zealand, South Africa, Singapore, Malaysia, India, Hong Kong, Israel, Nigeria, Pakistan.
    "pty", "pty ltd", "proprietary", "proprietary limited", "pte", "pte ltd", "private limited", "pvt", "pvt ltd",
    "opc", "sdn", "sdn bhd", "bhd", "berhad", "sendirian berhad", "npc", "soc ltd", "fzc", "fze", "fzco",
    "dmcc", "wll", "pjsc", "qsc", "qpsc", "saog", "saoc", "jsc", "ojsc", "cjsc", "psc", "ksc", "kscc", "kscp",
    "fz llc", "cic", "bsc", "joint stock company", "open joint stock company", "closed joint stock company", "saa",
    // Germany, Austria, Switzerland, Liechtenstein.
    "gmbh", "ggmbh", "mbh", "gesmbh", "gesellschaft mbh", "gesellschaft mit beschrankter haftung",
    "gmbh co kg", "gmbh cokg", "gmbh co kgaa", "gmbh co ohg", "ag co kg", "ag co kgaa", "se co kg", "se co kgaa",
    "ug co kg", "ug haftungsbeschrankt co kg", "ug", "ug haftungsbeschrankt", "unternehmergesellschaft",
    "unternehmergesellschaft haftungsbeschrankt", "haftungsbeschrankt", "ag", "aktiengesellschaft", "kg", "kgaa",
    "ohg", "gbr", "gesbr", "kda", "ek", "eg", "eingetragene genossenschaft", "partg", "partgmbb", "partg mbb", "se", "stiftung",
    "vvag", "og", "flexco", "anstalt", "sagl", "sarl", "genossenschaft", "kommanditgesellschaft",
    // France, Belgium, Luxembourg, Monaco, French-speaking Africa.
    "sa", "sas", "sasu", "eurl", "sarlau", "snc", "sca", "scs", "scop", "scic", "scp", "selarl", "selas", "gie",
    "societe anonyme", "societe par actions simplifiee", "societe a responsabilite limitee", "sprl", "bvba", "srl",
    "scrl", "cvba", "asbl", "vzw", "comm v", "commv", "vof", "suarl",
    // Netherlands.
    "bv", "bvio", "nv", "besloten vennootschap", "naamloze vennootschap", "stichting", "cooperatief ua", "cooperatie ua",
    // Italy, Spain, Portugal, Andorra.
    "spa", "srls", "societa per azioni", "societa a responsabilita limitata", "societa benefit", "scarl",
    "scpa", "sl", "slu", "slne", "slp", "sau", "sociedad anonima", "sociedad limitada",
    "lda", "limitada", "unipessoal", "unipessoal lda", "sgps", "sgps sa", "sociedade anonima",
    // Latin America.
    "ltda", "eireli", "epp", "mei", "sa de cv", "sab de cv", "sapi de cv", "sab", "sapi", "s de rl de cv",
    "s de rl", "srl de cv", "sc de rl", "sociedad anonima de capital variable", "sacv", "sadecv", "sac",
    "sacif", "saic", "eirl", "cia ltda", "sociedad por acciones simplificada", "sae",
    // Nordic countries.
    "aps", "ab", "ab publ", "publ", "aktiebolag", "aktiebolaget", "hb", "kb", "handelsbolag", "as", "asa", "aksjeselskap",
    "ans", "nuf", "enk", "aktieselskab", "anpartsselskab", "ivs", "amba", "fmba", "smba", "oy", "oyj", "oy ab",
    "oyj abp", "abp", "tmi", "osakeyhtio", "osk", "ehf", "hf", "ohf", "slhf",
    // Baltic countries.
    "ou", "osauhing", "aktsiaselts", "mtu", "sia", "uab", "vsi", "uzdaroji akcine bendrove",
    // Poland, Czechia, Slovakia, Hungary, Romania, Moldova.
    "sp zoo", "spzoo", "sp z oo", "spolka zoo", "spolka z oo", "spolka akcyjna", "spolka z ograniczona odpowiedzialnoscia",
    "sp zoo spolka komandytowa", "sp zoo sp k", "sp k", "spk", "sp j", "spj", "sp p", "ska", "psa", "sro", "spol sro",
    "vos", "zs", "kft", "kht", "kkt", "bt", "zrt", "nyrt", "korlatolt felelossegu tarsasag", "pfa",
    // The former Yugoslavia, Albania, Bulgaria, Greece, Cyprus, Turkey.
    "doo", "jdoo", "dd", "dno", "ad", "ead", "eood", "ood", "shpk", "sha", "dooel", "epe",
    "ike", "mepe", "anonim sirketi", "anonim sti", "limited sirketi", "limited sti", "ltd sti", "sti",
    "ltd sirketi", "san ve tic as", "san tic as", "san ve tic ltd sti", "san tic ltd sti", "ve tic as", "ve tic ltd sti",
    "sanayi ve ticaret as", "sanayi ve ticaret ltd sti", "sanayi ve ticaret anonim sirketi",
    "sanayi ve ticaret limited sirketi", "sirketi",
    // Russia, Ukraine, Belarus, Kazakhstan and neighbours, in Latin letters.
    "ooo", "oao", "zao", "pao", "tov", "tzov", "prat", "vat", "zat", "mchj", "mmc", "asc",
    // Japan, Korea, China, Taiwan, Vietnam, Thailand, Indonesia, the Philippines in Latin letters.
    "kk", "kabushiki kaisha", "kabushiki gaisha", "gk", "godo kaisha", "goudou kaisha", "yk", "yugen kaisha", "chusik hoesa",
    "jusik hoesa", "yuhan hoesa", "tnhh", "cong ty tnhh", "tbk", "persero", "persero tbk", "pcl",
    "youxian gongsi", "gufen youxian gongsi",
    // Other scripts.
    "ооо", "оао", "зао", "пао", "ао", "нао", "ип", "тоо", "тов", "пат", "прат", "ат", "дп", "фоп", "чуп", "оод", "еоод",
    "ад", "еад", "ет", "доо", "дооел", "αε", "επε", "ικε", "οε", "εε", "μιχ", "μικε", "μεπε", "בעמ", "בע מ",
    "株式会社", "株", "有限会社", "有", "合同会社", "合資会社", "合名会社", "一般社団法人", "有限公司", "股份", "有限责任公司",
    "有限責任公司", "公司", "責任", "責任有限公司", "주식회사", "주", "유한회사", "유", "유한책임회사", "จํากัด", "มหาชน",
    "จํากัด มหาชน", "ذمم", "ش م م", "شمم", "شمل", "შპს", "სს", "սպը", "փբը", "լտդ", "लिमिटेड", "प्राइवेट लिमिटेड",
];

/// Forms that stand before a name where that is the custom. Those that are words or names elsewhere (`SA`, `AS`, `SAS`)
/// are not among them.
#[rustfmt::skip]
const BEFORE: &[&str] = &[
    "ooo", "oao", "zao", "pao", "tov", "uab", "sia", "ou", "pt", "sarl", "eurl", "sasu", "scop",
    "kabushiki kaisha", "cong ty tnhh", "cong ty co phan", "cong ty", "ctcp", "firma", "stichting",
    "shpk", "public joint stock company", "joint stock company", "limited liability company",
    "obshchestvo s ogranichennoy otvetstvennostyu", "ооо", "оао", "зао", "пао", "ао", "нао", "ип", "тоо", "тов", "пат", "прат",
    "ат", "дп", "фоп", "общество с ограниченной ответственностью", "акционерное общество",
    "публичное акционерное общество", "товариство з обмеженою відповідальністю", "株式会社", "株", "有限会社", "有",
    "合同会社", "一般社団法人", "주식회사", "주", "유한회사", "유", "บริษัท", "شركة", "შპს", "სს",
];

/// Forms and common words that are written without a blank before and behind them.
#[rustfmt::skip]
const UNSPACED: &[&str] = &[
    "株式会社", "有限会社", "合同会社", "合資会社", "合名会社", "一般社団法人", "有限公司", "股份", "有限责任公司",
    "有限責任公司", "주식회사", "유한회사", "유한책임회사", "บริษัท", "จํากัด", "มหาชน", "集团", "集團", "控股", "科技", "技术",
    "技術", "グループ", "ホールディングス", "그룹", "홀딩스", "北京", "上海", "深圳", "广州", "杭州", "中国", "中國", "台灣", "臺灣",
];

/// The words of the longest form.
const WORDS_MAX: usize = 6;

static BEHIND_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| BEHIND.iter().copied().collect());
static BEFORE_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| BEFORE.iter().copied().collect());

/// Takes the legal forms off both ends of a name. The last word that is left stays, whatever it is.
pub(crate) fn strip(words: &mut Vec<String>) {
    let longest = |words: &[String], form: &dyn Fn(usize) -> bool| {
        (1..words.len()).rev().skip_while(|count| *count > WORDS_MAX).find(|count| form(*count))
    };
    let is_form = |forms: &HashSet<&str>, words: Option<&[String]>| {
        words.is_some_and(|words| match words {
            [word] => forms.contains(word.as_str()),
            words => forms.contains(words.join(" ").as_str()),
        })
    };
    while let Some(count) = longest(words, &|count| {
        is_form(&BEHIND_SET, words.len().checked_sub(count).and_then(|start| words.get(start..)))
    }) {
        words.truncate(words.len() - count);
    }
    while let Some(count) = longest(words, &|count| is_form(&BEFORE_SET, words.get(..count))) {
        words.drain(..count);
    }
}

/// Sets blanks around the forms and common words that are written without, so that they become words.
pub(crate) fn space_out(text: &str) -> String {
    UNSPACED.iter().fold(text.to_owned(), |text, form| {
        if text.contains(form) { text.replace(form, &format!(" {form} ")) } else { text }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::derive::company_name::ComparableName;

    #[test]
    fn every_form_is_written_as_names_are_compared_and_goes_from_a_name() {
        for (forms, before) in [(BEHIND, false), (BEFORE, true)] {
            assert_eq!(forms.iter().collect::<BTreeSet<_>>().len(), forms.len(), "a form stands there twice");
            for form in forms {
                assert!(form.split(' ').count() <= WORDS_MAX, "{form}");
                let name = if before { format!("{form} Zyxo") } else { format!("Zyxo {form}") };
                assert_eq!(
                    ComparableName::of(&name).map(|name| name.as_str().to_owned()).as_deref(),
                    Some("zyxo"),
                    "{name}"
                );
            }
        }
    }
}
