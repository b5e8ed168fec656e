"""Backup and restore: what a lock holds, kept in one sealed file and put back item by item.

``content``  what a backup holds, as values          ``file``     the sealed file around it
``shelf``    the files and keys this agent keeps     ``read``     a lock into a content
``compare``  two contents, item by item              ``plan``     what would make them equal
``restore``  carries out a plan and proves it        ``reset``    wipes a lock, behind interlocks
``enrol``    makes a wiped lock ours                 ``bench``    runs these as jobs
``words``    items for people, without secrets       ``desk``     answers what needs no lock
``wishes``   what was asked for since the backup     ``notes``    what a restore remembers
``vendor``   what the vendor's cloud adds            ``hours``    weekly hours of cards
"""
