from __future__ import annotations

from nearfield.sandbox.handles import Handles


class Item:
    def __init__(self, name: str = "", closed: list[str] | None = None) -> None:
        self.name = name
        self.closed = [] if closed is None else closed

    def close(self) -> None:
        self.closed.append(self.name)


class OtherItem(Item):
    pass


def test_gives_back_the_item_of_the_right_kind_only() -> None:
    handles, item = Handles(4), OtherItem()
    number = handles.add(item)
    assert handles.get(number, OtherItem) is item
    assert Handles(4).get(number, OtherItem) is None
    assert handles.get(handles.add(Item()), OtherItem) is None


def test_numbers_start_at_1_and_are_never_used_twice() -> None:
    handles = Handles(4)
    first = handles.add(Item())
    handles.remove(first, Item)
    second = handles.add(Item())
    assert (first, second) == (1, 2)
    assert handles.get(first, Item) is None


def test_room_ends_at_the_limit_and_comes_back() -> None:
    handles = Handles(1)
    number = handles.add(Item())
    assert not handles.has_room()
    handles.remove(number, Item)
    assert handles.has_room()


def test_removing_closes_once_and_says_whether_there_was_one() -> None:
    handles, item = Handles(4), Item("a")
    number = handles.add(item)
    assert handles.remove(number, OtherItem) is None
    assert handles.remove(number, Item) is item
    assert handles.remove(number, Item) is None
    assert item.closed == ["a"]


def test_close_closes_all_newest_first() -> None:
    handles, closed = Handles(4), []
    for name in "abc":
        handles.add(Item(name, closed))
    handles.close()
    handles.close()
    assert (closed, len(handles)) == (["c", "b", "a"], 0)


def test_items_of_a_kind_are_given_oldest_first() -> None:
    handles = Handles(4)
    first, other = Item(), OtherItem()
    for item in (first, other):
        handles.add(item)
    assert handles.all_of(Item) == [first, other]
    assert handles.all_of(OtherItem) == [other]
