"""Answers with every kind of Markdown, as models write them, for tests that let a text grow.

None has marks whose other half never comes: those are in `test_tail.py`, where it matters what is shown of them.
"""

from __future__ import annotations

_PROSE = """\
The sea is salty because **rivers carry minerals** from the land, and because *nothing but water* leaves it again. A
litre holds about `35 g` of salt, mostly sodium chloride; see [the article](https://example.org/sea) or ***ask
somebody who has been there***. Some of it comes from hydrothermal vents, ~~which were found in 1877~~ in 1977.

That is *one* reason. **The second one is a longer sentence in bold type, which does not end on the line on which it
began, and goes on to the third.** After it, plain words follow.
"""

_LISTS = """\
There are three things to do:

- **Rivers:** they carry salt, and this item is long enough to need more than one line of the page
- Volcanoes
  - below the sea, *which is where most of them are*, nobody sees them
  - above it
    1. a first step
    2. a second step with `code in it` and more words behind it
- Rain

* another list
* with stars

1. One
2. **Two:** with a bold beginning
3. Three, which has a paragraph

   of its own, and then

   > a quotation in the item, with **bold words** in it

4. Four

10) ten
11) eleven
"""

_CODE = """\
Run this:

```python
def salt(litres: float) -> float:
    # a comment with **stars**, `backticks` and | bars | in it, which stays as it is
    return litres * 35.0


print(salt(2))
```

Then:

1. Open a shell:

   ```sh
   cat /proc/meminfo | grep Mem
   echo "one | two" > file
   ```

2. Close it.

> ```
> quoted code
> | a | b |
> ```

~~~
``` a fence of tildes holds backticks
- and - dashes
~~~

    indented = "code"
    more = 1

``Code with a ` inside`` and `plain code`.
"""

_TABLES = """\
Compare:

| Sea | Salt | *Remark* |
|:----|-----:|:--------:|
| Dead Sea | 34 % | **very** salty, so that one floats on it like a cork |
| Baltic | 1 % | `fresh` |
| | 2 % | [a link](https://example.org/) |

A table without bars at its sides follows.

Name | Value
--- | ---
one | 1
two \\| three | 2

- In an item:

  | a | b |
  |---|---|
  | 1 | 2 |

> | quoted | table |
> | --- | --- |
> | x | y |

| only | a | head | of | five | columns |
|---|---|---|---|---|---|
| 1 | 2 | 3 | 4 | 5 | 6 |

The bar in `a | b` is no table, and neither is
| this line
because no line of dashes is below it.
"""

_HEADINGS = """\
# The first heading, long enough to need a second line on a page of this width

Text.

## A *second* heading with `code`
### A third one ###
Text right below it, and a rule:

***

#### Fourth

Text and a rule below a blank line.

---

Text
# a heading that ends a paragraph
- an item
# and one that ends a list
"""

_LINKS = """\
[known]: https://example.org/known 'The title'
[other one]: <https://example.org/other>

See [known], [the text][known] and [other one][]. An address is <https://example.org/path?a=1&b=2>, and
[a long text of a link with *emphasis* and `code` in it](https://example.org/a/long/path "and a title") follows.

![A picture of the sea](https://example.org/sea.png) is a link, too. [Brackets] are none, nor are [these ones] (a
note), and [1] is only a number. An [unknown][reference] stays.

[Chorus]
A line of a song

- [link first](https://example.org/first) in an item
- ![image first](https://example.org/first.png)
"""

_QUOTES = """\
> A quotation of some length, with *emphasis* that goes on over the end of a line, because the line is **long
> enough** for that.
>
> - an item
> - another one
>
>> Nested, as a reply
>> in two lines
>
> End.

Somebody said:
> without a blank line
and went on lazily.
"""

_ESCAPES = """\
A star \\* and an underscore \\_ stay, as in snake_case_names. An entity is &amp; or &lt;, 5 &gt; 3 and &copy; 2024.

A hard break with spaces{two}
and one with a backslash\\
ends lines. Dashes - like these - are nothing, 2 * 3 * 4 = 24 neither, nor is 5 > 3 < 4, # 7 or + 8.

1\\. is no list. 1986 was a year. 7) is none, either, in the middle.

He paid $5 and ~10 euros; that is 100 % of it! [sic] An email is a@example.org.
""".replace("{two}", "  ")

_CHINESE = """\
海水为什么是咸的？主要有两个原因：**河流带来盐分**，以及火山活动。海水中的盐大约占百分之三点五，也就是说每一升海水里有三十五克盐。

1. **河流**把岩石中的矿物质带到海里，这个过程已经进行了几十亿年。
2. *火山*也有影响，例如 `NaCl` 和其他成分。
3. 用 iPhone 手机查看[这篇文章](https://example.org/海)。

| 行星 | 日 |
|------|----|
| 金星 | 很长的一天，比它的一年还要长 |

> 引用的一段话，其中有 **粗体** 字。

## 标题是中文

```python
# 注释
print("你好，世界")
```

結束。
"""

_JAPANESE = """\
海の水はなぜ**しょっぱい**のでしょうか。それは川が塩を運んでくるからです。ガ行の濁点は「が」とも書けます。

- 一つ目の理由は *川* です
- 二つ目は `code` です

日本語の長い文章はスペースなしで続きますが行末で折り返されるはずです。日本語の長い文章はスペースなしで続きます。
"""

_OTHER_SCRIPTS = """\
바닷물은 왜 **짠가요**? 강물이 *소금을* 나르기 때문입니다. 그리고 `화산`도 있습니다.

ทำไมน้ำทะเลถึงเค็ม เพราะแม่น้ำพัดพา**เกลือ**ลงสู่ทะเลเป็นเวลาหลายล้านปีแล้วและภูเขาไฟใต้ทะเลก็มีส่วนด้วย

لماذا ماء البحر **مالح**؟ لأن الأنهار تحمل *الأملاح* إلى البحر منذ ملايين السنين.

- פריט ראשון עם `קוד`
- פריט שני **מודגש**

हिन्दी में **समुद्र** खारा है, और tiếng Việt cũng *mặn*, naïve café déjà vu.

Family 👨‍👩‍👧 and ❤️ and 🇩🇪 in **bold 🌊 waves**, then 1️⃣ and 👍🏽 end.
"""

_LONG = (
    "This paragraph has a thousand words, more or less, as **models** like to write them. "
    + "It goes on and *on*, with `code` and other things, until nobody reads it any more. " * 12
    + "\n\n"
    + "- An item that is just as long and just as tedious. "
    + "It has **bold words** and *others*. " * 20
    + "\n- Another one\n"
)

_VERSE = """\
Here is a short poem:

The lamp is low, the page is grey,
A slow screen turns the words to day;
*It blinks but once and holds the line,
And every line of it is mine.*

Maria Muster
Hauptstrasse 5
12345 Musterstadt

• one
• two
1、第一
2、第二
"""

_STEPS = """\
## Steps

1. **Boil the water.** Use a pot with a lid; a kettle will do, too, if it is clean.
   - about *one* litre
   - no salt yet
2. **Add the salt:**

   ```sh
   boil --sea --until=done
   ```

   Wait for `ten minutes`.
3. **Taste it.**

**Note:** The water is hot.

---

**Sources**

- *The Sea*, by somebody
- [A page](https://example.org/page)
"""

_MARKS = """\
**Bold at the start** of a line and at **the end**

*Italic*, **bold**, ***both***, ***both** then italic*, **bold *with italic* in it**, *italic **with bold** in it*.

__Bold__ and _italic_ by underscores, __init__ and *a*b.

**Bold with `code` in it**, `code with **stars**`, ~~**both**~~ and **[a bold link](https://example.org/)**.

- **Term** - its meaning
- *Term*: its meaning
- `term`: its meaning
- ~~term~~

**A line of bold words
that goes on to a second line** and ends.
"""

_LOOSE = """\
- a loose item

- another one

  with a second paragraph, which begins below a blank line and is longer than a line of the page

-
- an item behind an empty one
-   three spaces
- - nested at once
  - again

+ plus

5. five
6. six
"""

TEXTS = {
    "prose": _PROSE,
    "lists": _LISTS,
    "code": _CODE,
    "tables": _TABLES,
    "headings": _HEADINGS,
    "links": _LINKS,
    "quotations": _QUOTES,
    "escapes": _ESCAPES,
    "Chinese": _CHINESE,
    "Japanese": _JAPANESE,
    "other scripts": _OTHER_SCRIPTS,
    "long": _LONG,
    "verse": _VERSE,
    "steps": _STEPS,
    "marks": _MARKS,
    "loose lists": _LOOSE,
    "long fence": "```\n" + "a line of code = 1 | 2\n\n" * 30 + "```\n",
    "long table": "| number | name |\n|---|---|\n" + "| 1 | *somebody* with a `name` |\n" * 40,
    "long list": "- an item\n- **bold:** and more words, until the line is full of them and ends\n" * 20,
    "long quotation": "> words of a quotation which goes on\n> - with an item\n>\n" * 15,
    "fence in an item": "- code:\n  ```\n" + "  a line of code\n" * 40 + "  ```\n- end\n",
    "one line": "No line end, but **bold**, *italic* and `code`",
    "ends with code": "Text and\n\n```\ncode = 1\n",
    "other line ends": "One\r\n\r\n- **two**\r\n- three\r\n",
}
"""The texts by what they are about."""
