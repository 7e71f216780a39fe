"""Other languages that a prompt speaks of: its answer may hold text in them, as a translation or a lesson does."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from aya_plugins.language_id.identifier import labels_of
from aya_plugins.language_id.scripts import RANGES, foreign, letters, script_of, stretches
from aya_plugins.language_id.share import PIECE, Lapse, pieces

if TYPE_CHECKING:
    from aya_plugins.language_id.identifier import Identifier

_STEMS = {
    "ar": """
        arabic árabe arabe arabisch arabo arabsk arabšt arabă arabi arapç арабск арабськ αραβικ عربي العربية عربی ערבית अरबी
        bahasa_arab アラビア語 阿拉伯语 阿拉伯文 阿拉伯語 아랍어 ả_rập
        """,
    "cs": """
        czech checo checa tchèque tcheco tcheca tschechisch tsjechisch ceco ceca ceha cehă čeština češtin český česk czesk çekç чешск
        чеськ τσεχικ التشيك چکی צ'כית צכית चेक_भाषा bahasa_ceko チェコ語 捷克语 捷克文 捷克語 체코어 tiếng_séc
        """,
    "de": """
        german alemán alemão alemã allemand deutsch duits tedesc niemieck německ němčin germană almanc jerman немецк німецьк γερμανικ
        الألمان آلمانی גרמנית जर्मन ドイツ語 德语 德文 德語 독일어 tiếng_đức
        """,
    "el": """
        greek griego griega grec grego grega griechisch grieks greco greca greck řeck řečtin greacă yunanc yunani греческ грецьк
        ελληνικ اليونان یونانی יוונית यूनानी ग्रीक ギリシャ語 希腊语 希腊文 希臘語 그리스어 tiếng_hy_lạp
        """,
    "en": """
        english inglés inglesa inglês anglais anglaise englisch engels inglese angielsk anglick angličtin engleză ingilizc inggris
        английск англійськ αγγλικ إنجليزي انجليزي الإنجليزية انگلیسی אנגלית अंग्रेज़ी अंग्रेजी इंग्लिश 英語 英语 英文 영어 tiếng_anh
        """,
    "es": """
        spanish español española castellano espagnol spanisch spaans spagnol espanhol hiszpańsk španělsk španělštin spaniolă
        ispanyolc spanyol испанск іспанськ ισπανικ الإسباني الاسباني إسباني اسپانیایی ספרדית स्पेनिश स्पैनिश スペイン語 西班牙语
        西班牙文 西班牙語 스페인어 tây_ban_nha
        """,
    "fa": """
        persian farsi persa persan persisch perzisch persian persă persk perštin farsç персидск фарси перськ перск περσικ φαρσί
        الفارسي فارسی פרסית फ़ारसी फारसी ペルシア語 ペルシャ語 波斯语 波斯文 波斯語 페르시아어 tiếng_ba_tư
        """,
    "fr": """
        french francés francesa français francese francês französisch frans francusk francouzsk francouzštin franceză fransızc
        perancis prancis французск французьк γαλλικ الفرنسي فرنسي فرانسوی צרפתית फ़्रेंच फ्रेंच फ़्रांसीसी फ्रांसीसी フランス語 法语
        法文 法語 프랑스어 불어 tiếng_pháp
        """,
    "he": """
        hebrew hebreo hébreu hebräisch hebreeuws ebraic hebraic hebrajsk hebrejsk hebrejštin ebraică ibranic ibrani иврит івріт
        εβραϊκ العبري عبري عبری עברית हिब्रू ヘブライ語 希伯来语 希伯来文 希伯來語 히브리어 do_thái
        """,
    "hi": """
        hindi хинди гінді хінді χίντι الهندي هندي هندی הינדי हिंदी हिन्दी ヒンディー語 印地语 印地文 印地語 힌디어 tiếng_hin
        """,
    "id": """
        indonesian indonesio indonésien indonesisch indonesiano indonésio indonezyjsk indonésk indonéštin indoneziană endonezc
        bahasa_indonesia индонезийск індонезійськ ινδονησιακ الإندونيسي اندونزیایی אינדונזית इंडोनेशियाई インドネシア語 印尼语
        印度尼西亚语 인도네시아어 tiếng_indonesia
        """,
    "it": """
        italian italien italia włosk italsk italštin italyanc итальянск італійськ ιταλικ الإيطالي إيطالي ایتالیایی איטלקית इतालवी
        इटैलियन イタリア語 意大利语 意大利文 義大利語 이탈리아어 tiếng_ý
        """,
    "ja": """
        japanese japonés japonesa japonais japanisch japans giapponese japonês japońsk japonsk japonštin japonez japonc jepang японск
        японськ ιαπωνικ الياباني ياباني ژاپنی יפנית जापानी 日本語 日语 日文 일본어 tiếng_nhật
        """,
    "ko": """
        korean coreano coreana coréen koreanisch koreaans koreańsk korejsk korejštin coreeană korec корейск корейськ κορεατικ الكوري
        کره‌ای קוריאנית कोरियाई 韓国語 朝鲜语 韩语 韩文 韓文 韓語 한국어 한글 tiếng_hàn
        """,
    "nl": """
        dutch holandés neerlandés néerlandais niederländisch holländisch nederlands olandese holandês neerlandês niderlandzk
        holendersk nizozemsk nizozemštin olandeză hollandac felemenk belanda нидерландск голландск нідерландськ голландськ ολλανδικ
        الهولندي هلندی הולנדית डच_भाषा オランダ語 荷兰语 荷兰文 荷蘭語 네덜란드어 hà_lan
        """,
    "pl": """
        polish polaco polaca polonais polnisch pools polacco polacca polonês polsk polštin poloneză lehç polandia польск польськ
        πολωνικ البولندي لهستانی פולנית पोलिश ポーランド語 波兰语 波兰文 波蘭語 폴란드어 tiếng_ba_lan
        """,
    "pt": """
        portugu portogh portugalsk portugalštin portekizc португа πορτογαλικ البرتغالي برتغالي پرتغالی פורטוגזית पुर्तगाली
        ポルトガル語 葡萄牙语 葡萄牙文 葡萄牙語 포르투갈어 bồ_đào_nha
        """,
    "ro": """
        romanian rumano rumana roumain rumänisch roemeens rumeno rumena romeno rumuńsk rumunsk rumunštin român rumenc rumania румынск
        румунськ ρουμανικ الروماني رومانیایی רומנית रोमानियाई ルーマニア語 罗马尼亚语 羅馬尼亞語 루마니아어 tiếng_rumani
        """,
    "ru": """
        russian ruso rusa russe russisch russo russa rosyjsk rusk ruštin rusă rusç rusia русск російськ ρωσικ ρώσικ الروسي روسي روسی
        רוסית रूसी ロシア語 俄语 俄文 俄語 러시아어 tiếng_nga
        """,
    "tr": """
        turkish turco turca turc türkisch turks tureck turečtin turcă türkç turki турецк турецьк τουρκικ التركية تركية ترکی_ ترکی‌
        טורקית तुर्की トルコ語 土耳其语 土耳其文 土耳其語 터키어 튀르키예어 thổ_nhĩ_kỳ
        """,
    "uk": """
        ukrain ucrain ucran ukraín oekraïens ukraiń ukrajin украинск українськ ουκρανικ الأوكراني اوکراینی אוקראינית यूक्रेनी
        ウクライナ語 乌克兰语 乌克兰文 烏克蘭語 우크라이나어
        """,
    "vi": """
        vietnam vietnã wietnam вьетнамск вєтнамськ в'єтнамськ βιετναμ الفيتنامي ویتنامی וייטנאמית वियतनामी ベトナム語 越南语 越南文
        越南語 베트남어 tiếng_việt
        """,
    "zh": """
        chinese chino china mandar chinois chinesisch chinees cinese chinês chińsk čínsk čínštin chinez çinc mandarin cina tiongkok
        китайск китайськ κινεζικ κινέζικ الصيني صيني چینی סינית मंदारिन चीनी 中国語 中文 汉语 漢語 普通话 普通話 중국어 tiếng_trung
        tiếng_hoa hán_ngữ
        """,
}
"""How the 23 languages are called in each other, by the beginning of the word, in small letters; `_` is a space."""

_TRANSLATE = """
    translat tradúc tradúz traduc traduz tradui übersetz vertaal vertal tradur traduz tłumacz przetłumacz přelož překlad tradu çevir tercüme
    terjemah перевед перевод переклад μετάφρασ μετέφρασ μεταφράσ ترجم תרגם תרגום अनुवाद 翻訳 翻译 翻譯 번역 dịch_sang bản_dịch
    dịch_câu dịch_đoạn dịch_văn dịch_sau dịch_thuật biên_dịch phiên_dịch
    """
"""What asks for a translation, by the beginning of the word: into whatever language."""

EVERY = "every language"
"""In place of codes, where a prompt asks for a translation."""

QUOTED = 20
"""Letters in a row of a prompt in another language from which its answer may speak it, too."""

_SPACED = re.compile("[a-z\u00c0-\u024f\u0370-\u052f\u1e00-\u1fff]")
"""Letters of scripts whose words begin after a space, and stems there with a word. Arabic and Hebrew put prefixes before."""


def _stem(stem: str) -> str:
    return (r"(?<!\w)" if _SPACED.match(stem) else "") + re.escape(stem.replace("_", " "))


_PLAIN = {
    code: tuple(stem.replace("_", " ") for stem in stems.split())
    for code, stems in {**_STEMS, EVERY: _TRANSLATE}.items()
}
"""Texts one of which a prompt must hold; a search for all of them takes a twentieth of the time of the pattern."""

_PATTERNS = {
    code: re.compile("|".join(map(_stem, stems.split()))) for code, stems in {**_STEMS, EVERY: _TRANSLATE}.items()
}


@lru_cache(maxsize=4096)
def named_in(prompt: str) -> frozenset[str]:
    """The codes of languages that a prompt names, and EVERY where it asks for a translation."""
    text = unicodedata.normalize("NFC", prompt).casefold()
    return frozenset(
        code
        for code, pattern in _PATTERNS.items()
        if any(stem in text for stem in _PLAIN[code]) and pattern.search(text)
    )


def may_hold(identifier: Identifier, prompt: str, lapse: Lapse, script: str) -> bool:
    """Whether the answer to a prompt may hold a passage in another language: one that the prompt speaks of, or is partly in itself.

    script: of the language that the answer is to be in.
    """
    named = named_in(prompt)
    if EVERY in named or any(_is_in(lapse.into, code) for code in named):
        return True
    if lapse.into in RANGES:
        return any(letters(found) >= QUOTED for found in stretches(script)[lapse.into].findall(prompt))
    quoted = pieces(foreign(script).sub(" ", prompt), PIECE)
    return any(letters(piece) >= QUOTED and identifier(piece).label == lapse.into for piece in quoted)


def _is_in(into: str, code: str) -> bool:
    """Whether a script or a label of the identifier is one of a language."""
    return into in labels_of(code) or into == {"Jpan": "Hani"}.get(script_of(code) or "", script_of(code))
