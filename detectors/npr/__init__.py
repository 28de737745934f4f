"""Neighbouring-pixel relationships (NPR) at one or several scales."""
