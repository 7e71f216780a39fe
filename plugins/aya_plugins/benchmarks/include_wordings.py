# ruff: noqa: E501 (each instruction is a line)
"""How INCLUDE's questions are put: in the language of the question, in our own words.

All say the same: answer the question below, which has several options; think step by step in this language; write the letter alone
after the word for `answer` in the last line.
"""

from __future__ import annotations

from aya_core.api import language_name

ENGLISH = (
    "Answer",
    "Answer the following multiple-choice question. Think step by step in {language}. In the last line write “Answer: X”, where X is A, "
    "B, C or D.",
)
"""Of a language without words of its own here: in English, with the language named."""

WORDINGS = {
    "ar": ("الإجابة", "أجب عن سؤال الاختيار من متعدد التالي. فكّر خطوة بخطوة باللغة العربية، ثم اكتب في السطر الأخير «الإجابة: X»، حيث X هو A أو B أو C أو D."),
    "az": ("Cavab", "Aşağıdakı çoxseçimli suala cavab ver. Azərbaycan dilində addım-addım düşün. Son sətirdə «Cavab: X» yaz; burada X A, B, C və ya D hərfidir."),
    "be": ("Адказ", "Адкажы на наступнае пытанне з варыянтамі адказу. Разважай крок за крокам па-беларуску. У апошнім радку напішы «Адказ: X», дзе X — гэта A, B, C або D."),
    "bg": ("Отговор", "Отговори на следния въпрос с избираем отговор. Разсъждавай стъпка по стъпка на български. На последния ред напиши „Отговор: X“, където X е A, B, C или D."),
    "bn": ("উত্তর", "নিচের বহুনির্বাচনি প্রশ্নটির উত্তর দাও। বাংলায় ধাপে ধাপে চিন্তা করো। শেষ লাইনে লেখো “উত্তর: X”, যেখানে X হলো A, B, C অথবা D।"),
    "de": ("Antwort", "Beantworte die folgende Multiple-Choice-Frage. Denke Schritt für Schritt auf Deutsch nach. Schreibe in die letzte Zeile „Antwort: X“, wobei X für A, B, C oder D steht."),
    "el": ("Απάντηση", "Απάντησε στην παρακάτω ερώτηση πολλαπλής επιλογής. Σκέψου βήμα προς βήμα στα ελληνικά. Στην τελευταία γραμμή γράψε «Απάντηση: X», όπου X είναι A, B, C ή D."),
    "es": ("Respuesta", "Responde a la siguiente pregunta de opción múltiple. Piensa paso a paso en español. En la última línea escribe «Respuesta: X», donde X es A, B, C o D."),
    "et": ("Vastus", "Vasta järgmisele valikvastustega küsimusele. Mõtle samm-sammult eesti keeles. Kirjuta viimasele reale „Vastus: X“, kus X on A, B, C või D."),
    "eu": ("Erantzuna", "Erantzun aukera anitzeko galdera honi. Pentsatu urratsez urrats euskaraz. Azken lerroan idatzi «Erantzuna: X», non X A, B, C edo D den."),
    "fa": ("پاسخ", "به پرسش چهارگزینه‌ای زیر پاسخ دهید. گام به گام به زبان فارسی فکر کنید. در سطر آخر بنویسید «پاسخ: X» که در آن X یکی از A، B، C یا D است."),
    "fi": ("Vastaus", "Vastaa seuraavaan monivalintakysymykseen. Pohdi vaihe vaiheelta suomeksi. Kirjoita viimeiselle riville ”Vastaus: X”, jossa X on A, B, C tai D."),
    "fr": ("Réponse", "Répondez à la question à choix multiples suivante. Réfléchissez étape par étape en français. Écrivez sur la dernière ligne « Réponse : X », où X est A, B, C ou D."),
    "he": ("תשובה", "ענו על שאלת רב־הברירה הבאה. חשבו צעד אחר צעד בעברית. בשורה האחרונה כתבו „תשובה: X”, כאשר X הוא A, B, C או D."),
    "hi": ("उत्तर", "निम्नलिखित बहुविकल्पीय प्रश्न का उत्तर दीजिए। हिंदी में चरण-दर-चरण सोचिए। अंतिम पंक्ति में “उत्तर: X” लिखिए, जहाँ X की जगह A, B, C या D हो।"),
    "hr": ("Odgovor", "Odgovori na sljedeće pitanje s višestrukim izborom. Razmišljaj korak po korak na hrvatskom. U posljednji redak napiši „Odgovor: X”, gdje je X jedno od slova A, B, C ili D."),
    "hu": ("Válasz", "Válaszolj a következő feleletválasztós kérdésre. Gondolkodj lépésről lépésre magyarul. Az utolsó sorba írd ezt: „Válasz: X”, ahol X helyén A, B, C vagy D áll."),
    "hy": ("Պատասխան", "Պատասխանիր հետևյալ հարցին՝ ընտրելով տարբերակներից մեկը։ Մտածիր քայլ առ քայլ հայերենով։ Վերջին տողում գրիր «Պատասխան՝ X», որտեղ X-ը A, B, C կամ D է։"),
    "id": ("Jawaban", "Jawablah soal pilihan ganda berikut. Berpikirlah langkah demi langkah dalam bahasa Indonesia. Pada baris terakhir tulislah “Jawaban: X”, dengan X adalah A, B, C, atau D."),
    "it": ("Risposta", "Rispondi alla seguente domanda a scelta multipla. Ragiona passo dopo passo in italiano. Nell'ultima riga scrivi «Risposta: X», dove X è A, B, C o D."),
    "ja": ("答え", "次の多肢選択問題に答えてください。日本語で順を追って考え、最後の行に「答え：X」と書いてください。X は A、B、C、D のいずれかです。"),
    "ka": ("პასუხი", "უპასუხე შემდეგ კითხვას, რომელსაც პასუხის რამდენიმე ვარიანტი აქვს. იფიქრე ნაბიჯ-ნაბიჯ ქართულად. ბოლო სტრიქონში დაწერე „პასუხი: X“, სადაც X არის A, B, C ან D."),
    "kk": ("Жауап", "Келесі көп нұсқалы сұраққа жауап бер. Қазақ тілінде қадам-қадаммен ойлан. Соңғы жолға «Жауап: X» деп жаз, мұндағы X — A, B, C немесе D."),
    "ko": ("정답", "다음 객관식 문제에 답하세요. 한국어로 단계별로 생각하고, 마지막 줄에 “정답: X”라고 쓰세요. X는 A, B, C, D 중 하나입니다."),
    "lt": ("Atsakymas", "Atsakyk į šį klausimą su keliais atsakymų variantais. Mąstyk žingsnis po žingsnio lietuviškai. Paskutinėje eilutėje parašyk „Atsakymas: X“, kur X yra A, B, C arba D."),
    "mk": ("Одговор", "Одговори на следното прашање со повеќе понудени одговори. Размислувај чекор по чекор на македонски. Во последниот ред напиши „Одговор: X“, каде што X е A, B, C или D."),
    "ml": ("ഉത്തരം", "താഴെ കൊടുത്തിരിക്കുന്ന ബഹുവികൽപ്പ ചോദ്യത്തിന് ഉത്തരം നൽകുക. മലയാളത്തിൽ ഘട്ടം ഘട്ടമായി ചിന്തിക്കുക. അവസാന വരിയിൽ “ഉത്തരം: X” എന്ന് എഴുതുക; X എന്നത് A, B, C, D എന്നിവയിൽ ഒന്നാണ്."),
    "ms": ("Jawapan", "Jawab soalan aneka pilihan berikut. Fikir langkah demi langkah dalam bahasa Melayu. Pada baris terakhir, tulis “Jawapan: X”, dengan X ialah A, B, C atau D."),
    "ne": ("उत्तर", "तलको बहुवैकल्पिक प्रश्नको उत्तर दिनुहोस्। नेपालीमा चरणबद्ध रूपमा सोच्नुहोस्। अन्तिम पङ्क्तिमा “उत्तर: X” लेख्नुहोस्, जहाँ X को ठाउँमा A, B, C वा D हुन्छ।"),
    "nl": ("Antwoord", "Beantwoord de volgende meerkeuzevraag. Denk stap voor stap in het Nederlands. Schrijf op de laatste regel “Antwoord: X”, waarbij X A, B, C of D is."),
    "pl": ("Odpowiedź", "Odpowiedz na następujące pytanie zamknięte, wybierając jedną z odpowiedzi. Rozumuj krok po kroku po polsku. W ostatnim wierszu napisz „Odpowiedź: X”, gdzie X to A, B, C lub D."),
    "pt": ("Resposta", "Responda à seguinte pergunta de múltipla escolha. Pense passo a passo em português. Na última linha, escreva “Resposta: X”, em que X é A, B, C ou D."),
    "ru": ("Ответ", "Ответь на следующий вопрос с вариантами ответа. Рассуждай шаг за шагом по-русски. В последней строке напиши «Ответ: X», где X — это A, B, C или D."),
    "sq": ("Përgjigjja", "Përgjigjju pyetjes së mëposhtme me alternativa. Mendo hap pas hapi në shqip. Në rreshtin e fundit shkruaj «Përgjigjja: X», ku X është A, B, C ose D."),
    "sr": ("Одговор", "Одговори на следеће питање са више понуђених одговора. Размишљај корак по корак на српском. У последњем реду напиши „Одговор: X“, где је X једно од слова A, B, C или D."),
    "ta": ("விடை", "பின்வரும் பல தேர்வு வினாவிற்கு விடையளிக்கவும். தமிழில் படிப்படியாகச் சிந்திக்கவும். கடைசி வரியில் “விடை: X” என்று எழுதவும்; X என்பது A, B, C, D ஆகியவற்றில் ஒன்று."),
    "te": ("సమాధానం", "కింది బహుళైచ్ఛిక ప్రశ్నకు సమాధానం ఇవ్వండి. తెలుగులో దశలవారీగా ఆలోచించండి. చివరి పంక్తిలో “సమాధానం: X” అని రాయండి; X అనేది A, B, C, D లలో ఒకటి."),
    "tl": ("Sagot", "Sagutin ang sumusunod na tanong na maraming pagpipilian. Mag-isip nang hakbang-hakbang sa Tagalog. Sa huling linya, isulat ang “Sagot: X”, kung saan ang X ay A, B, C o D."),
    "tr": ("Cevap", "Aşağıdaki çoktan seçmeli soruyu yanıtla. Türkçe olarak adım adım düşün. Son satıra “Cevap: X” yaz; X, A, B, C veya D harflerinden biridir."),
    "uk": ("Відповідь", "Дай відповідь на наступне запитання з варіантами відповіді. Міркуй крок за кроком українською. В останньому рядку напиши «Відповідь: X», де X — це A, B, C або D."),
    "ur": ("جواب", "درج ذیل کثیر الانتخابی سوال کا جواب دیں۔ اردو میں قدم بہ قدم سوچیں۔ آخری سطر میں “جواب: X” لکھیں، جہاں X کی جگہ A، B، C یا D ہو۔"),
    "uz": ("Javob", "Quyidagi bir nechta variantli savolga javob ber. O‘zbek tilida bosqichma-bosqich o‘yla. Oxirgi qatorga “Javob: X” deb yoz, bu yerda X — A, B, C yoki D."),
    "vi": ("Đáp án", "Hãy trả lời câu hỏi trắc nghiệm sau. Hãy suy nghĩ từng bước bằng tiếng Việt. Ở dòng cuối cùng, hãy viết “Đáp án: X”, trong đó X là A, B, C hoặc D."),
    "zh": ("答案", "请回答下面的单项选择题。请用中文一步一步地思考，最后一行写“答案：X”，其中 X 是 A、B、C 或 D。"),
}  # fmt: skip
"""The word for `answer` and the instruction, for each of the 44 languages. None was checked by others than their authors."""


def instruction(language: str) -> str:
    """What is put before a question."""
    wording = WORDINGS.get(language.split("-")[0])
    return wording[1] if wording else ENGLISH[1].format(language=language_name(language))
