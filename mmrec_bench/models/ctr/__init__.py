"""Models of the click-through rate: will this user click this item now?"""
