"""The words of the micro-world: 24 concepts and 5 instructions in each of 23 languages, in native script.

A word holds no space, so that every text is words joined by single spaces. Where a language writes one with a
space, an underscore stands in for it ("thứ_hai"), as in Vietnamese word segmentation. One form stands for
every gender and case.
"""

from typing import NamedTuple

NUMBERS = range(12)  # one to twelve
WEEKDAYS = range(12, 19)  # Monday to Sunday
COLORS = range(19, 24)  # red, yellow, green, blue, purple
DIGITS = tuple(str(number) for number in range(1, 13))  # the same in every language


class Lexicon(NamedTuple):
    """One language's words: concepts in the order of the ranges above, then the word that asks for each task.

    Concepts differ from one another within a language; languages may share them ("verde", "три"). No two
    languages share an instruction, so a prompt of nothing but digits still says which language it wants.
    """

    concepts: tuple[str, ...]
    write: str
    reverse: str
    sort: str
    next: str
    largest: str


def _lexicon(numbers: str, weekdays: str, colors: str, instructions: str) -> Lexicon:
    return Lexicon((*numbers.split(), *weekdays.split(), *colors.split()), *instructions.split())


LEXICONS = {
    "ar": _lexicon(
        "واحد اثنان ثلاثة أربعة خمسة ستة سبعة ثمانية تسعة عشرة أحد_عشر اثنا_عشر",
        "الإثنين الثلاثاء الأربعاء الخميس الجمعة السبت الأحد",
        "أحمر أصفر أخضر أزرق بنفسجي",
        "اكتب اعكس رتب التالي الأكبر",
    ),
    "cs": _lexicon(
        "jedna dva tři čtyři pět šest sedm osm devět deset jedenáct dvanáct",
        "pondělí úterý středa čtvrtek pátek sobota neděle",
        "červená žlutá zelená modrá fialová",
        "napiš obrať seřaď další největší",
    ),
    "de": _lexicon(
        "eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf",
        "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
        "rot gelb grün blau lila",
        "schreiben umkehren sortieren nächste größte",
    ),
    "el": _lexicon(
        "ένα δύο τρία τέσσερα πέντε έξι επτά οκτώ εννέα δέκα έντεκα δώδεκα",
        "Δευτέρα Τρίτη Τετάρτη Πέμπτη Παρασκευή Σάββατο Κυριακή",
        "κόκκινο κίτρινο πράσινο μπλε μωβ",
        "γράψε αντίστρεψε ταξινόμησε επόμενο μέγιστο",
    ),
    "en": _lexicon(
        "one two three four five six seven eight nine ten eleven twelve",
        "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
        "red yellow green blue purple",
        "write reverse sort next largest",
    ),
    "es": _lexicon(
        "uno dos tres cuatro cinco seis siete ocho nueve diez once doce",
        "lunes martes miércoles jueves viernes sábado domingo",
        "rojo amarillo verde azul morado",
        "escribir invertir ordenar siguiente mayor",
    ),
    "fa": _lexicon(
        "یک دو سه چهار پنج شش هفت هشت نه ده یازده دوازده",
        "دوشنبه سه_شنبه چهارشنبه پنجشنبه جمعه شنبه یکشنبه",
        "قرمز زرد سبز آبی بنفش",
        "بنویس وارونه مرتب بعدی بزرگترین",
    ),
    "fr": _lexicon(
        "un deux trois quatre cinq six sept huit neuf dix onze douze",
        "lundi mardi mercredi jeudi vendredi samedi dimanche",
        "rouge jaune vert bleu violet",
        "écrire inverser trier suivant plus_grand",
    ),
    "he": _lexicon(
        "אחת שתיים שלוש ארבע חמש שש שבע שמונה תשע עשר אחת_עשרה שתים_עשרה",
        "שני שלישי רביעי חמישי שישי שבת ראשון",
        "אדום צהוב ירוק כחול סגול",
        "כתוב הפוך מיין הבא הגדול",
    ),
    "hi": _lexicon(
        "एक दो तीन चार पाँच छह सात आठ नौ दस ग्यारह बारह",
        "सोमवार मंगलवार बुधवार गुरुवार शुक्रवार शनिवार रविवार",
        "लाल पीला हरा नीला बैंगनी",
        "लिखो उलटो छाँटो अगला सबसे_बड़ा",
    ),
    "id": _lexicon(
        "satu dua tiga empat lima enam tujuh delapan sembilan sepuluh sebelas dua_belas",
        "Senin Selasa Rabu Kamis Jumat Sabtu Minggu",
        "merah kuning hijau biru ungu",
        "tulis balikkan urutkan berikutnya terbesar",
    ),
    "it": _lexicon(
        "uno due tre quattro cinque sei sette otto nove dieci undici dodici",
        "lunedì martedì mercoledì giovedì venerdì sabato domenica",
        "rosso giallo verde blu viola",
        "scrivere invertire ordinare successivo maggiore",
    ),
    "ja": _lexicon(
        "一 二 三 四 五 六 七 八 九 十 十一 十二",
        "月曜日 火曜日 水曜日 木曜日 金曜日 土曜日 日曜日",
        "赤 黄色 緑 青 紫",
        "書いて 逆にして 並べて 次 最も大きい",
    ),
    "ko": _lexicon(
        "하나 둘 셋 넷 다섯 여섯 일곱 여덟 아홉 열 열하나 열둘",
        "월요일 화요일 수요일 목요일 금요일 토요일 일요일",
        "빨강 노랑 초록 파랑 보라",
        "쓰기 뒤집기 정렬 다음 최대",
    ),
    "nl": _lexicon(
        "een twee drie vier vijf zes zeven acht negen tien elf twaalf",
        "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
        "rood geel groen blauw paars",
        "schrijven omkeren sorteren volgende grootste",
    ),
    "pl": _lexicon(
        "jeden dwa trzy cztery pięć sześć siedem osiem dziewięć dziesięć jedenaście dwanaście",
        "poniedziałek wtorek środa czwartek piątek sobota niedziela",
        "czerwony żółty zielony niebieski fioletowy",
        "napisz odwróć posortuj następny największy",
    ),
    "pt": _lexicon(
        "um dois três quatro cinco seis sete oito nove dez onze doze",
        "segunda terça quarta quinta sexta sábado domingo",
        "vermelho amarelo verde azul roxo",
        "escrever inverter classificar próximo maior",
    ),
    "ro": _lexicon(
        "unu doi trei patru cinci șase șapte opt nouă zece unsprezece doisprezece",
        "luni marți miercuri joi vineri sâmbătă duminică",
        "roșu galben verde albastru violet",
        "scrie inversează sortează următorul maxim",
    ),
    "ru": _lexicon(
        "один два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать",
        "понедельник вторник среда четверг пятница суббота воскресенье",
        "красный жёлтый зелёный синий фиолетовый",
        "напиши переверни отсортируй следующий наибольший",
    ),
    "tr": _lexicon(
        "bir iki üç dört beş altı yedi sekiz dokuz on on_bir on_iki",
        "pazartesi salı çarşamba perşembe cuma cumartesi pazar",
        "kırmızı sarı yeşil mavi mor",
        "yaz ters_çevir sırala sonraki en_büyük",
    ),
    "uk": _lexicon(
        "один два три чотири п'ять шість сім вісім дев'ять десять одинадцять дванадцять",
        "понеділок вівторок середа четвер п'ятниця субота неділя",
        "червоний жовтий зелений синій фіолетовий",
        "запиши оберни відсортуй наступний найбільший",
    ),
    "vi": _lexicon(
        "một hai ba bốn năm sáu bảy tám chín mười mười_một mười_hai",
        "thứ_hai thứ_ba thứ_tư thứ_năm thứ_sáu thứ_bảy chủ_nhật",
        "đỏ vàng xanh_lục xanh_lam tím",
        "viết đảo_ngược sắp_xếp tiếp_theo lớn_nhất",
    ),
    "zh": _lexicon(
        "一 二 三 四 五 六 七 八 九 十 十一 十二",
        "星期一 星期二 星期三 星期四 星期五 星期六 星期日",
        "红 黄 绿 蓝 紫",
        "写 反转 排序 下一个 最大",
    ),
}
