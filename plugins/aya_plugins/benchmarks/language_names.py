"""English names of the languages in which benchmarks of translation are published, for prompts that name them."""

from __future__ import annotations

from aya_core.api import LANGUAGES, language_name

_NAMES = """
ace Acehnese|acm Mesopotamian Arabic|acq Ta'izzi-Adeni Arabic|aeb Tunisian Arabic|af Afrikaans|ajp South Levantine Arabic|ak Akan|
am Amharic|apc North Levantine Arabic|arg Aragonese|an Aragonese|ars Najdi Arabic|ary Moroccan Arabic|arz Egyptian Arabic|as Assamese|
ast Asturian|awa Awadhi|ay Aymara|az Azerbaijani|azb South Azerbaijani|ba Bashkir|ban Balinese|be Belarusian|bem Bemba|bg Bulgarian|
bho Bhojpuri|bjn Banjar|bm Bambara|bn Bengali|bo Tibetan|brx Bodo|bs Bosnian|bug Buginese|ca Catalan|ceb Cebuano|chv Chuvash|cv Chuvash|
cjk Chokwe|ckb Central Kurdish|crh Crimean Tatar|cy Welsh|da Danish|dgo Dogri|dik Southwestern Dinka|dv Maldivian|dyu Dyula|dz Dzongkha|
ee Ewe|eo Esperanto|et Estonian|eu Basque|ff Fulfulde|fi Finnish|fil Filipino|fj Fijian|fo Faroese|fon Fon|fuc Pulaar|fur Friulian|
fy West Frisian|ga Irish|gd Scottish Gaelic|gl Galician|gn Guarani|gom Goan Konkani|gu Gujarati|ha Hausa|hmn Hmong|hne Chhattisgarhi|
hr Croatian|ht Haitian Creole|hu Hungarian|hy Armenian|ig Igbo|ilo Ilocano|is Icelandic|jv Javanese|ka Georgian|kaa Karakalpak|kab Kabyle|
kac Jingpho|kam Kamba|kbp Kabiyè|kea Kabuverdianu|kg Kikongo|ki Kikuyu|kk Kazakh|km Khmer|kmb Kimbundu|kn Kannada|kr Kanuri|ks Kashmiri|
ku Northern Kurdish|ky Kyrgyz|lb Luxembourgish|lg Ganda|li Limburgish|lij Ligurian|lmo Lombard|ln Lingala|lo Lao|lt Lithuanian|
ltg Latgalian|lua Luba-Kasai|luo Luo|lus Mizo|lv Latvian|mag Magahi|mai Maithili|mey Hassaniya Arabic|mg Malagasy|mh Marshallese|
mhr Meadow Mari|mi Māori|min Minangkabau|mk Macedonian|ml Malayalam|mn Mongolian|mni Meitei|mos Mossi|mr Marathi|ms Malay|mt Maltese|
my Burmese|myv Erzya|nb Norwegian Bokmål|nd North Ndebele|ne Nepali|nn Norwegian Nynorsk|no Norwegian|nqo Nko|nso Northern Sotho|nus Nuer|
ny Nyanja|oc Occitan|om Oromo|or Odia|pa Punjabi|pag Pangasinan|pap Papiamento|prs Dari|ps Pashto|qu Quechua|rn Rundi|rw Kinyarwanda|
sa Sanskrit|sat Santali|sc Sardinian|scn Sicilian|sd Sindhi|sg Sango|shi Tachelhit|shn Shan|si Sinhala|sk Slovak|sl Slovenian|sm Samoan|
sn Shona|so Somali|sq Albanian|sr Serbian|ss Swati|st Southern Sotho|su Sundanese|sv Swedish|sw Swahili|szl Silesian|ta Tamil|
taq Tamasheq|te Telugu|tg Tajik|th Thai|ti Tigrinya|tk Turkmen|tl Tagalog|tn Tswana|to Tongan|tpi Tok Pisin|ts Tsonga|tt Tatar|tum Tumbuka|
tw Twi|ty Tahitian|tyv Tuvan|tzm Central Atlas Tamazight|udm Udmurt|ug Uyghur|umb Umbundu|ur Urdu|uz Uzbek|ve Venda|vec Venetian|
vmw Makhuwa|war Waray|wo Wolof|wuu Wu Chinese|xh Xhosa|yi Yiddish|yo Yoruba|yue Cantonese|zu Zulu
"""
NAMES = dict(entry.split(" ", 1) for entry in _NAMES.replace("\n", "").split("|"))
"""Names beside those of the 23 languages. Source: ISO 639, and the tables of languages of FLORES-200 and NTREX-128."""

PLACES = {
    "Arab": "Arabic script", "Cyrl": "Cyrillic script", "Deva": "Devanagari script", "Latn": "Latin script", "Tfng": "Tifinagh script",
    "Mong": "Mongolian script", "BR": "Brazil", "PT": "Portugal", "CA": "Canada", "MX": "Mexico",
}  # fmt: skip
"""Scripts and regions that tell editions of a language apart."""


def english_name(code: str) -> str:
    """Say a language in English words: sr-Latn is "Serbian (Latin script)". One without a name here is named by its code."""
    language, *subtags = code.split("-")
    if language in NAMES:
        name = NAMES[language]
    elif language in LANGUAGES and not subtags:
        return language_name(language)
    elif any(subtag in PLACES for subtag in subtags):
        name = language_name(language)
    else:
        return language_name(code)
    details = [PLACES.get(subtag, subtag) for subtag in subtags]
    return f"{name} ({', '.join(details)})" if details else name
